"""ImageNet-A: RMS calibration error and AURRA (paper, Table 4; Hendrycks et al. 2019).

Both sort the images by confidence, and both depend on the order of images whose confidences are equal, which the
published code leaves to chance. Here ties keep the order in which they are given, most confident first. On 50,000
ImageNet images whose confidences are rounded to six digits the choice moves either figure by less than 0.0002.
"""

import math
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from harness.metrics._common import UndefinedMetric, require_kind, require_same_images

Form = Literal["published", "corrected"]


def rms_calibration_error(
    confidence: npt.NDArray[np.floating],
    correct: npt.NDArray[np.bool_],
    *,
    form: Form,
    bin_size: int = 100,
) -> float:
    """RMS calibration error over bins of equally many images, sorted by confidence.

    sqrt(sum over bins b of n_b / n * (mean confidence_b - accuracy_b)^2), from the least to the most confident bin;
    the last of the n // bin_size bins takes the remainder.

    Args:
        confidence: (n,) probability of the predicted class, in [0, 1].
        correct: (n,) bool, whether the prediction is right.
        form: `published` leaves the last, most confident bin out of the sum while the weights still divide by all n
            images, as in the published code: the form of Table 4. `corrected` takes every bin.
        bin_size: images in a bin; where there are fewer in all, `corrected` has the one bin.

    Returns:
        RMS calibration error in [0, 1]; 0 is best.

    Raises:
        ValueError: shapes differ, a confidence isn't a fraction, `correct` isn't bool, or an unknown form.
        UndefinedMetric: no image, or too few for two bins in the published form, which has nothing left to sum.
    """
    _require_confidences(confidence, correct)
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {form!r}")
    if bin_size < 1:
        raise ValueError(f"bin_size must be at least 1, got {bin_size}")
    n = len(confidence)
    if form == "published" and n < 2 * bin_size:
        raise UndefinedMetric(
            f"the published RMS calibration error leaves out the last bin, and {n} images make no two bins of "
            f"{bin_size}: it would read 0 whatever the classifier; use the corrected form or {2 * bin_size} images"
        )
    least_first = _most_confident_first(confidence)[::-1]
    starts = bin_size * np.arange(max(n // bin_size, 1))
    sizes = np.diff(starts, append=n)
    excess = np.subtract(confidence, correct, dtype=np.float64)[least_first]
    weighted_squares = sizes / n * (np.add.reduceat(excess, starts) / sizes) ** 2
    summed = weighted_squares[:-1] if form == "published" else weighted_squares
    return math.sqrt(summed.sum())


def aurra(confidence: npt.NDArray[np.floating], correct: npt.NDArray[np.bool_]) -> float:
    """Area under the response rate accuracy curve.

    The mean over k = 1..n of the accuracy on the k most confident images: at the response rate k / n the classifier
    answers for those and abstains from the others.

    Args:
        confidence: (n,) probability of the predicted class, in [0, 1].
        correct: (n,) bool, whether the prediction is right.

    Returns:
        AURRA in [0, 1]; 1 is best.

    Raises:
        ValueError: shapes differ, a confidence isn't a fraction, or `correct` isn't bool.
        UndefinedMetric: no image.
    """
    _require_confidences(confidence, correct)
    hits = np.cumsum(correct[_most_confident_first(confidence)])
    return float(np.mean(hits / np.arange(1, len(hits) + 1)))


def _most_confident_first(confidence: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    return np.argsort(-confidence, kind="stable")


def _require_confidences(confidence: npt.NDArray[np.floating], correct: npt.NDArray[np.bool_]) -> None:
    require_kind("floating", confidence=confidence)
    require_kind("bool", correct=correct)
    require_same_images(confidence=confidence, correct=correct)
    outside = ~((confidence >= 0) & (confidence <= 1))
    if outside.any():
        first = int(outside.argmax())
        raise ValueError(f"confidence must lie in [0, 1], got {confidence[first]} for image {first}")
