"""Numbers from arrays: pure functions, numpy arrays and mappings in, fractions out, no files and no models.

Modules:
    accuracy: top-1 and top-k accuracy; accuracy after k attack steps and over eps (Fig. 1, Table 2).
    attack: worst cases over runs of an attack, and whether it can be trusted (Carlini et al., 2019).
    corruption: ImageNet-C: mean error over severities, CE, mCE, relative mCE (Table 1).
    perturbation: ImageNet-P: flip probability, top-5 distance, mFR, mT5D (Table 1).
    calibration: RMS calibration error and AURRA (Table 4).
    shape_bias: the 16 cue-conflict categories, both decision rules, shape bias (Table 3).

Every figure is a fraction, never percent. Arguments that can't be right (lengths that differ, percent, NaN) raise
`ValueError`; a figure that does not exist on what was given (no image, a cell missing) raises `UndefinedMetric`,
which whoever judges a claim meets as `NotMeasured`.
"""
