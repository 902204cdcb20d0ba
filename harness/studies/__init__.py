"""Bodies of evidence: who the baseline is, who the subjects are, and where their figures come from.

A claim's test asks a study for figures and does not care which study it is. `published` answers from the author's raw
results, `live` from records of real classifiers on real data.
"""
