"""The protocol `classify`, against plain numpy on the same logits."""

import numpy as np
import pytest

from harness.errors import ClassifierError
from harness.protocols.classify import Classify, Questions

CATEGORIES = [[0], [3, 4, 5], [900, 7]]


@pytest.fixture
def logits():
    """Logits of six images: five random, one with ties everywhere."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 3, (5, 1000)), np.zeros((1, 1000))]).astype(np.float32)


@pytest.fixture
def run(logits):
    import torch

    def run(labels, questions, values=logits, precision="fp32"):
        protocol = Classify(
            lambda _: torch.from_numpy(values), questions, device=torch.device("cpu"), precision=precision
        )
        return protocol(torch.zeros(len(values), 3, 2, 2, dtype=torch.uint8), np.array(labels, dtype=np.int16))

    return run


def softmax(values):
    raised = np.exp(values.astype(np.float64) - values.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def test_facts_about_all_1000_classes(run, logits):
    labels = [1, 2, 3, int(logits[3].argmax()), 999, 999]
    columns = run(labels, Questions())
    ranked = np.argsort(-logits, axis=1, kind="stable")
    assert np.array_equal(columns["top5"], ranked[:, :5])
    assert columns["label_rank"].tolist() == [
        list(row).index(label) + 1 for row, label in zip(ranked, labels, strict=True)
    ]
    assert columns["label_rank"][-1] == 1000  # ties are ranked by index
    assert np.allclose(columns["confidence"], softmax(logits).max(axis=1), atol=1e-6)
    assert np.array_equal(columns["own_prediction"], ranked[:, 0])
    assert np.allclose(columns["own_confidence"], columns["confidence"])
    assert columns["label"].tolist() == labels


def test_decision_among_the_benchmarks_own_classes(run, logits):
    own = [2, 30, 31, 500]
    columns = run([2] * 6, Questions(own_classes=own))
    assert columns["own_prediction"].tolist() == [own[place] for place in logits[:, own].argmax(axis=1)]
    assert np.allclose(columns["own_confidence"], softmax(logits[:, own]).max(axis=1), atol=1e-6)


def test_category_probabilities_are_means_of_the_softmax_over_all_classes(run, logits):
    columns = run([-1] * 6, Questions(categories=CATEGORIES))
    expected = np.stack([softmax(logits)[:, indices].mean(axis=1) for indices in CATEGORIES], axis=1)
    assert np.allclose(columns["category_probabilities"], expected, atol=1e-7)


def test_images_without_label_have_rank_0(run):
    assert run([-1] * 6, Questions())["label_rank"].tolist() == [0] * 6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_name_the_image(run, logits, bad):
    broken = logits.copy()
    broken[3, 77] = bad
    with pytest.raises(ClassifierError, match="place 3 of the batch"):
        run([0] * 6, Questions(), broken)


def test_images_reach_the_classifier_in_0_to_1():
    import torch

    seen = []

    def logits(images):
        seen.append(images)
        return torch.zeros(len(images), 1000)

    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 2, 2)
    Classify(logits, Questions(), device=torch.device("cpu"))(pixels, np.zeros(3, dtype=np.int16))
    assert seen[0].dtype == torch.float32
    assert torch.allclose(seen[0][:, 0, 0, 0], torch.tensor([0.0, 0.2, 1.0]))


def test_precision_is_what_was_asked_for():
    import torch

    found = []

    def logits(images):
        found.append((torch.is_autocast_enabled("cpu"), torch.backends.cuda.matmul.allow_tf32))
        return torch.zeros(len(images), 1000)

    for precision in ("bf16", "tf32", "fp32"):
        protocol = Classify(logits, Questions(), device=torch.device("cpu"), precision=precision)
        protocol(torch.zeros(1, 3, 2, 2, dtype=torch.uint8), np.zeros(1, dtype=np.int16))
    assert found == [(True, False), (False, True), (False, False)]


def test_a_gpu_is_not_waited_for_until_its_answers_are_taken(logits):
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    device = torch.device("cuda")
    answer = torch.from_numpy(logits).to(device)
    pixels = torch.zeros(len(logits), 3, 2, 2, dtype=torch.uint8).pin_memory()
    labels = np.array([1, 2, 3, 4, 999, -1], dtype=np.int16)
    protocol = Classify(lambda _: answer, Questions([2, 30, 31], CATEGORIES), device=device)
    try:
        torch.cuda.set_sync_debug_mode("error")
        finish = protocol.begin(pixels, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = finish()
    here = Classify(lambda _: torch.from_numpy(logits), Questions([2, 30, 31], CATEGORIES), device=torch.device("cpu"))
    for name, values in here(pixels, labels).items():
        np.testing.assert_allclose(found[name], values, atol=1e-6, err_msg=name)
