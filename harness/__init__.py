"""Measures how robust an image classifier is, and judges claims about it.

Data flows one way: classifiers and benchmarks meet in a protocol, the protocol writes per-image
records, metrics turn records into numbers, verdicts turn numbers into decisions. Nothing here
imports torch until a classifier is really run.
"""

__version__ = "0.1.0"
