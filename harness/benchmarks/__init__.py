"""A benchmark's name and a folder, turned into cells of labelled images; never knows classifiers.

`catalog` lists the benchmarks and opens them, `dataset` is what opening gives, `order` is the seeded
order in which every classifier sees the images, `images` decodes and prepares them for a classifier.
"""
