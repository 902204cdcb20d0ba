"""A number with its interval, and what may be decided from it; never knows which paper it is for.

`estimates` makes intervals, `rules` decides lower / higher / within / never rises.
"""
