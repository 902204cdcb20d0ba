"""Places of classes in the order of their logits, against a whole stable sort."""

import numpy as np
import pytest


@pytest.mark.parametrize("levels", [2, 5, 40, 10**9], ids=lambda levels: f"{levels}_levels")
@pytest.mark.parametrize("classes", [6, 16, 1000])
def test_the_first_five_and_every_place_are_those_of_a_stable_sort(levels, classes):
    import torch

    from harness.protocols.ranks import first_five, place_of

    logits = np.random.default_rng(levels).integers(levels, size=(50, classes)).astype(np.float32)
    order = np.argsort(-logits, axis=1, kind="stable")
    tensor = torch.from_numpy(logits)
    np.testing.assert_array_equal(first_five(tensor).numpy(), order[:, :5])
    for asked in (0, classes // 2, classes - 1):
        places = [list(row).index(asked) + 1 for row in order]
        assert place_of(torch.full((50,), asked), tensor).tolist() == places
