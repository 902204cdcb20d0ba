"""RMS calibration error and AURRA against hand-worked cases, a loop, and published figures on published predictions."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from harness.errors import NotMeasured
from harness.metrics.accuracy import top1_accuracy
from harness.metrics.calibration import Form, aurra, rms_calibration_error

both_forms = pytest.mark.parametrize("form", ["published", "corrected"])


def judged(*runs: tuple[int, float, float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Make runs of (images, confidence, accuracy)."""
    confidence = np.concatenate([np.full(n, value) for n, value, _ in runs])
    correct = np.concatenate([np.arange(n) < round(n * accuracy) for n, _, accuracy in runs])
    return confidence, correct


def overconfident(n: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    confidence = rng.random(n)
    return confidence, rng.random(n) < confidence**2


def looped_rms(confidence: Sequence[float], correct: Sequence[bool], *, drop_last: bool, bin_size: int) -> float:
    """Walk the images from the least confident on and close a bin every `bin_size`, the last one at the end."""
    images = sorted(zip(confidence, correct, strict=True))
    n_bins = len(images) // bin_size
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(n_bins)]
    for i, image in enumerate(images):
        bins[min(i // bin_size, n_bins - 1)].append(image)
    total = 0.0
    for members in bins[:-1] if drop_last else bins:
        gap = sum(c for c, _ in members) / len(members) - sum(right for _, right in members) / len(members)
        total += len(members) / len(images) * gap**2
    return math.sqrt(total)


class TestRmsCalibrationError:
    def test_hand_worked(self):
        """Bins off by 0.2 and by 0.1; the published form keeps the weight 1/2 of the bin that it leaves out."""
        confidence, correct = judged((100, 0.3, 0.5), (100, 0.9, 0.8))
        corrected = rms_calibration_error(confidence, correct, form="corrected")
        assert corrected == pytest.approx(math.sqrt(0.5 * 0.2**2 + 0.5 * 0.1**2))
        published = rms_calibration_error(confidence, correct, form="published")
        assert published == pytest.approx(math.sqrt(0.5 * 0.2**2))

    def test_the_last_bin_takes_the_remainder(self):
        """250 images are bins of 100 and of 150."""
        confidence, correct = judged((100, 0.3, 0.5), (150, 0.9, 0.8))
        corrected = rms_calibration_error(confidence, correct, form="corrected")
        assert corrected == pytest.approx(math.sqrt(0.4 * 0.2**2 + 0.6 * 0.1**2))
        published = rms_calibration_error(confidence, correct, form="published")
        assert published == pytest.approx(math.sqrt(0.4 * 0.2**2))

    def test_over_and_under_confidence_within_a_bin_cancel(self):
        confidence, correct = judged((50, 0.4, 0.6), (50, 0.6, 0.4))
        assert rms_calibration_error(confidence, correct, form="corrected") == pytest.approx(0.0)
        finer = rms_calibration_error(confidence, correct, form="corrected", bin_size=50)
        assert finer == pytest.approx(0.2)

    @both_forms
    def test_of_a_perfectly_calibrated_classifier_is_zero(self, form: Form):
        confidence, correct = judged((100, 0.25, 0.25), (100, 0.5, 0.5), (100, 0.75, 0.75))
        assert rms_calibration_error(confidence, correct, form=form) == pytest.approx(0.0, abs=1e-12)

    @both_forms
    @pytest.mark.parametrize("bin_size", [1, 7, 100])
    @pytest.mark.parametrize("n", [200, 299, 300, 1234])
    def test_meets_a_loop(self, form: Form, bin_size: int, n: int):
        confidence, correct = overconfident(n)
        looped = looped_rms(confidence, correct, drop_last=form == "published", bin_size=bin_size)
        assert rms_calibration_error(confidence, correct, form=form, bin_size=bin_size) == pytest.approx(looped)

    @both_forms
    def test_does_not_depend_on_the_order_of_the_images(self, form: Form):
        confidence, correct = overconfident(777)
        order = np.random.default_rng(1).permutation(777)
        shuffled = rms_calibration_error(confidence[order], correct[order], form=form)
        assert shuffled == pytest.approx(rms_calibration_error(confidence, correct, form=form))

    def test_corrected_is_never_below_published(self):
        confidence, correct = overconfident(777)
        published, corrected = (
            rms_calibration_error(confidence, correct, form=form) for form in ("published", "corrected")
        )
        assert published < corrected

    @pytest.mark.parametrize("n", [1, 99, 100, 199])
    def test_too_few_images_have_only_the_corrected_form(self, n: int):
        confidence, correct = judged((n, 0.75, 1.0))
        assert rms_calibration_error(confidence, correct, form="corrected") == pytest.approx(0.25)
        with pytest.raises(NotMeasured, match=f"{n} images make no two bins of 100: it would read 0"):
            rms_calibration_error(confidence, correct, form="published")

    def test_ties_keep_the_given_order_most_confident_first(self):
        """All tied: the images given first are taken as the more confident, the bin that the published form drops."""
        confidence, correct = judged((200, 0.75, 0.5))
        published = rms_calibration_error(confidence, correct, form="published")
        assert published == pytest.approx(math.sqrt(0.5 * 0.75**2))

    def test_takes_single_precision(self):
        confidence, correct = overconfident(1000)
        single = rms_calibration_error(confidence.astype(np.float32), correct, form="corrected")
        assert single == pytest.approx(rms_calibration_error(confidence, correct, form="corrected"), abs=1e-6)


class TestAurra:
    def test_hand_worked(self):
        """Most confident first: right, wrong, right, so the accuracies are 1, 1/2, 2/3."""
        assert aurra(np.array([0.2, 0.9, 0.5]), np.array([True, True, False])) == pytest.approx((1 + 1 / 2 + 2 / 3) / 3)

    def test_of_one_that_is_always_right_is_one(self):
        assert aurra(np.linspace(0, 1, 50), np.ones(50, dtype=np.bool_)) == 1.0

    def test_of_one_that_is_never_right_is_zero(self):
        assert aurra(np.linspace(0, 1, 50), np.zeros(50, dtype=np.bool_)) == 0.0

    def test_meets_the_accuracy_on_the_most_confident(self):
        confidence, correct = overconfident(300)
        curve = [correct[np.argsort(confidence)[-k:]].mean() for k in range(1, 301)]
        assert aurra(confidence, correct) == pytest.approx(np.mean(curve))

    def test_rewards_confidence_in_the_right_answers(self):
        correct = np.array([True] * 5 + [False] * 5)
        knows_itself, deceives_itself = np.linspace(1, 0, 10), np.linspace(0, 1, 10)
        assert aurra(knows_itself, correct) > correct.mean() > aurra(deceives_itself, correct)

    def test_looks_at_the_order_of_confidences_only(self):
        confidence, correct = overconfident(300)
        assert aurra(confidence**3, correct) == aurra(confidence, correct)

    def test_ties_keep_the_given_order(self):
        confidence, correct = judged((2, 0.5, 0.5))
        assert aurra(confidence, correct) == (1 + 1 / 2) / 2
        assert aurra(confidence, ~correct) == (0 + 1 / 2) / 2

    def test_many_ties_keep_the_given_order(self):
        rng = np.random.default_rng(2)
        confidence, correct = rng.choice([0.25, 0.5, 0.75], 1000), rng.random(1000) < 0.5
        hits = [right for _, right in sorted(zip(-confidence, correct, strict=True), key=lambda image: image[0])]
        assert aurra(confidence, correct) == pytest.approx((np.cumsum(hits) / np.arange(1, 1001)).mean(), rel=1e-12)


@pytest.mark.parametrize(
    "metric",
    [aurra, lambda *arrays: rms_calibration_error(*arrays, form="corrected")],
    ids=["aurra", "rms_calibration_error"],
)
class TestRefuses:
    def test_arrays_of_other_lengths(self, metric):
        with pytest.raises(ValueError, match="confidence has 2, correct has 3"):
            metric(np.array([0.1, 0.2]), np.array([True, True, False]))

    def test_hits_that_are_no_bool(self, metric):
        with pytest.raises(ValueError, match="correct must be of kind bool"):
            metric(np.array([0.1, 0.2]), np.array([1, 0]))

    @pytest.mark.parametrize("value", [54.5, -0.1, math.nan], ids=str)
    def test_confidences_that_are_no_fractions(self, metric, value: float):
        with pytest.raises(ValueError, match=rf"must lie in \[0, 1\], got {value} for image 1"):
            metric(np.array([0.1, value]), np.array([True, True]))

    def test_no_image(self, metric):
        with pytest.raises(NotMeasured, match="is empty"):
            metric(np.zeros(0), np.zeros(0, dtype=np.bool_))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "corect"}, "form must be one of published, corrected"),
        ({"bin_size": 0}, "bin_size must be at least 1"),
    ],
    ids=["form", "bin_size"],
)
def test_refuses_options(options, message: str):
    with pytest.raises(ValueError, match=message):
        rms_calibration_error(*overconfident(300), **{"form": "corrected", **options})


@pytest.mark.parametrize(
    ("classifier", "accuracy", "rms", "area"),
    [("ResNet50", 0.7613, 0.0556, 0.9303), ("DINO", 0.7675, 0.0474, 0.9351)],
    ids=["ResNet50", "DINO"],
)
def test_published_figures_on_published_predictions(
    published_table, classifier: str, accuracy: float, rms: float, area: float
):
    """50,000 ImageNet predictions, figures as printed; RMS-CE moves by up to 0.00008 with the order of ties."""
    rows = published_table("imagenet_val_predictions.csv.gz")
    labels, predictions = (np.array([int(row[name]) for row in rows]) for name in ("label", f"{classifier}_pred"))
    confidence = np.array([float(row[f"{classifier}_prob"]) for row in rows])
    as_printed = {"rel": 0, "abs": 0.00005 + 1e-9}
    assert top1_accuracy(predictions, labels) == pytest.approx(accuracy, **as_printed)
    correct = predictions == labels
    assert rms_calibration_error(confidence, correct, form="published") == pytest.approx(rms, **as_printed)
    assert aurra(confidence, correct) == pytest.approx(area, **as_printed)
