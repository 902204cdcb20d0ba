"""The miniature world: small pictures of 16 categories, drawn from a seed, each with a shape and a texture of its own.

It is small and it is real: classifiers learn it from pictures and are measured on others. `shapes` and `textures` hold
the tables of what there is, `scene` draws a picture from random numbers, `sets` says how much the pictures of each set
differ and which label they have, `sheet` draws all of it to be looked at.
"""

from data_fixtures.miniature.sets import (
    CLASSES,
    KINDS,
    Drawn,
    draw,
    select,
    write_class_folders,
    write_cue_conflict,
)

__all__ = ["CLASSES", "KINDS", "Drawn", "draw", "select", "write_class_folders", "write_cue_conflict"]
