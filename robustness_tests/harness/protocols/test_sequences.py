"""The protocol `classify` on sequences of frames, against plain numpy on the same logits."""

import numpy as np
import pytest

from harness.errors import NonFinite
from harness.protocols.sequences import ClassifySequences

FRAMES = [3, 1, 4]


@pytest.fixture
def logits():
    """Logits of eight frames: seven random, one with ties everywhere."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 3, (7, 1000)), np.zeros((1, 1000))]).astype(np.float32)


@pytest.fixture
def run(logits):
    """Give a function that runs the protocol; a frame's first pixel says whose logits it gets."""
    import torch

    pixels = torch.zeros(8, 3, 2, 2, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(8)

    def run(at_once, values=logits):
        given = []

        def answer(images):
            given.append(len(images))
            return torch.from_numpy(values)[(images[:, 0, 0, 0] * 255).round().long()]

        protocol = ClassifySequences(answer, 5, device=torch.device("cpu"), at_once=at_once)
        return protocol(pixels, np.array([7, 8, 9], dtype=np.int16), FRAMES), given

    return run


@pytest.mark.parametrize(("at_once", "given"), [(8, [8]), (100, [8]), (3, [3, 3, 2]), (1, [1] * 8)])
def test_the_five_first_ranked_classes_of_each_frame(run, logits, at_once, given):
    columns, seen = run(at_once)
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    top5 = columns["top5"].reshape(3, 5, 5)
    assert seen == given
    assert columns["frames"].tolist() == FRAMES
    assert columns["label"].tolist() == [7, 8, 9]
    assert np.array_equal(top5[0, :3], ranked[:3])
    assert np.array_equal(top5[1, :1], ranked[3:4])
    assert np.array_equal(top5[2, :4], ranked[4:])
    assert top5[2, 3].tolist() == [0, 1, 2, 3, 4]  # ties are ranked by index
    assert (top5[0, 3:] == -1).all()
    assert (top5[1, 1:] == -1).all()
    assert (columns["top5"].dtype, columns["top5"].shape) == (np.int16, (3, 25))


@pytest.mark.parametrize(("frame", "sequence"), [(0, 0), (3, 1), (7, 2)])
@pytest.mark.parametrize("at_once", [8, 2])
def test_a_logit_that_is_no_number_is_blamed_on_its_sequence(run, logits, at_once, frame, sequence):
    values = logits.copy()
    values[frame, 5] = np.nan
    with pytest.raises(NonFinite) as caught:
        run(at_once, values)
    assert caught.value.place == sequence
