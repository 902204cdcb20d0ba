"""What one record holds: the facts about one image that every metric can be computed from.

Records are columns: a dict of numpy arrays of one length while they are computed, a table on disk.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Columns = dict[str, NDArray[Any]]

# Bumped whenever a column's meaning changes; part of what records are found by.
CLASSIFY_SCHEMA = 1
SEQUENCES_SCHEMA = 1

CLASSIFY_COLUMNS: dict[str, str] = {
    "position": "place in the seeded order, from 0",
    "cell": "cell of the benchmark, e.g. gaussian_noise/3; empty where there are none",
    "image": "path of the image below its cell",
    "digest": "first 8 bytes of the sha256 of the image file, as a big-endian number",
    "size": "size of the image file in bytes",
    "modified": "when the image file was last written, in nanoseconds",
    "label": "class index in 0..999; -1 where the image has no ImageNet label",
    "top5": "the five classes with the largest logits of all 1000, largest first, ties by index",
    "confidence": "softmax probability, over 1000 classes, of the first of them",
    "label_rank": "the label's place among the 1000 logits, from 1, ties by index; 0 where there is no label",
    "own_prediction": "class index of the largest logit among the benchmark's own classes",
    "own_confidence": "its softmax probability over the benchmark's own classes",
}

# Of each sequence of ImageNet-P, beside the first seven columns above.
SEQUENCE_COLUMNS: dict[str, str] = {
    "frames": "how many frames the sequence has",
    "top5": "per frame, the five classes with the largest logits, largest first, ties by index; -1 past the last frame",
}

# What an attack records of each image, beside the first seven columns above. A pursuit is one run of the attack: a loss
# and a random start; a ladder is the steps at which outcomes are recorded (`harness.protocols.attacks`).
ATTACK_COLUMNS: dict[str, str] = {
    "clean_prediction": "class index that the classifier takes the clean image for",
    "target": "class index that the attack goes towards; published form only",
    "first_fooled": "per pursuit, the first step, from 1, at which the criterion held; 0: never, -1: not attacked. "
    "Transferred: one number, of the surrogate (published) or of this classifier at the ladder's steps (standard)",
    "ladder_prediction": "per step of the ladder, what the image that is scored is taken for",
    "followed_prediction": "per pursuit and step of the ladder, what its iterate is taken for; followed attacks only",
    "loss_start": "per pursuit, the attack's loss at the random start; NaN where not attacked",
    "loss_end": "per pursuit, its loss at the last iterate that was looked at",
    "zero_gradient": "per pursuit, share of pixels whose gradient is exactly zero at the start",
    "moved": "per pursuit, largest change of a pixel from the start, clipped to [0, 1], to the last iterate; NaN where "
    "not attacked. Transferred: the largest over pursuits, when the image was scored",
    "linf": "largest change of a pixel when the image left the attack, over pursuits; transferred: when it was scored, "
    "until it was known to fool this classifier; 0 where not attacked",
    "outside": "by how much that image's pixels leave [0, 1]",
}

# Of each pair of a seed image and a unit of the penultimate layer (`harness.protocols.maximizing`). Images are rows of
# height x width x 3 levels of 8 bits; steps of 1/255 from a photograph stay on these levels.
MAXIMIZE_COLUMNS: dict[str, str] = {
    "position": "place of the pair, from 0; all units of a seed follow one another",
    "image": "path of the seed image, or noise-<k>",
    "digest": "first 8 bytes of the sha256 of the seed image's file, as a big-endian number; 0 for noise",
    "photograph": "whether the seed is a photograph, not noise",
    "unit": "the unit, from 0",
    "met_at": "step of the iterate nearest to the seed of those that met the criterion, from 0; -1 for none",
    "probability": "softmax probability, over units, of the unit at the last step",
    "activation_seed": "activation of the unit by the seed",
    "activation_smallest": "by the nearest iterate that met the criterion; NaN for none",
    "activation_final": "by the last iterate",
    "linf_smallest": "largest change of a pixel at the nearest iterate that met the criterion; NaN for none",
    "linf_final": "at the last iterate",
    "seed_image": "the seed",
    "smallest_image": "the nearest iterate that met the criterion; black for none",
    "final_image": "the last iterate",
}

# The columns that tell whether an image still is the one that was seen.
FILE_FACTS = ("digest", "size", "modified")

# Cue conflict only.
CATEGORY_COLUMNS: dict[str, str] = {
    "shape": "category of the image's shape",
    "texture": "category of the image's texture",
    "category_probabilities": "per category, in alphabetical order, the mean softmax probability of its classes",
}


def joined(parts: Sequence[Columns]) -> Columns:
    """Put the rows of several tables of the same columns behind one another; there is one at least."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def to_table(columns: Columns) -> "pa.Table":
    """Turn columns into an Arrow table: 2-d arrays become fixed-size lists, repeated words dictionaries."""
    import pyarrow as pa

    arrays = {}
    for name, values in columns.items():
        if values.ndim == 2:
            arrays[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])
        elif values.dtype.kind in "OU":
            arrays[name] = pa.array(values, pa.string()).dictionary_encode()
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)


def to_columns(table: "pa.Table") -> Columns:
    """Turn an Arrow table back into columns; the inverse of `to_table`."""
    import pyarrow as pa

    columns: Columns = {}
    for name in table.column_names:
        values = table.column(name).combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # no rows: combine_chunks keeps an empty ChunkedArray
            values = pa.array([], values.type)
        if pa.types.is_fixed_size_list(values.type):
            columns[name] = values.flatten().to_numpy(zero_copy_only=False).reshape(-1, values.type.list_size)
        elif pa.types.is_dictionary(values.type):
            words = np.array(values.dictionary.to_pylist(), dtype=object)
            columns[name] = words[values.indices.to_numpy(zero_copy_only=False)]
        else:
            columns[name] = values.to_numpy(zero_copy_only=False)
    return columns
