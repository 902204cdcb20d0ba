"""ImageNet-C: mCE and relative mCE (paper, section 2.2; Hendrycks and Dietterich 2019).

An error is a fraction. The mean over severities comes first and the ratio to AlexNet after it: a ratio of means,
never a mean of ratios.
"""

from collections.abc import Mapping

from harness.metrics._common import mean, ratios, require_exactly, require_within

CORRUPTIONS = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The 15 that mCE is a mean over, in their canonical order."""

EXTRA_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""Held out for validation by the benchmark's authors, never part of mCE."""

SEVERITIES = (1, 2, 3, 4, 5)


def mean_over_severities(errors: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """Average each corruption's error over the five severities.

    Args:
        errors: top-1 error in [0, 1] of each (corruption, severity), exactly the 15 x 5 cells.

    Returns:
        Mean error of each corruption, in canonical order.

    Raises:
        UndefinedMetric: cells are missing; the line names them.
        ValueError: there are other cells, or an error isn't a fraction.
    """
    cells = {f"{corruption}/{severity}": error for (corruption, severity), error in errors.items()}
    wanted = [f"{corruption}/{severity}" for corruption in CORRUPTIONS for severity in SEVERITIES]
    require_exactly(wanted, cells, "errors by corruption and severity")
    require_within(1, "errors by corruption and severity", cells)
    return {
        corruption: mean(float(cells[f"{corruption}/{severity}"]) for severity in SEVERITIES)
        for corruption in CORRUPTIONS
    }


def corruption_errors(mean_errors: Mapping[str, float], alexnet: Mapping[str, float]) -> dict[str, float]:
    """Normalise each corruption's mean error by AlexNet's: CE_c = E_c / E_c(AlexNet).

    Args:
        mean_errors: mean error over severities of each of the 15 corruptions, in [0, 1].
        alexnet: AlexNet's, likewise.

    Returns:
        CE of each corruption, in canonical order; at least 0, above 1 where AlexNet is better.

    Raises:
        UndefinedMetric: a corruption is missing, or AlexNet makes no error on one.
        ValueError: other corruptions are there, or an error isn't a fraction.
    """
    _require_mean_errors(mean_errors, alexnet)
    return ratios(mean_errors, {corruption: alexnet[corruption] for corruption in CORRUPTIONS}, "mean error")


def mce(mean_errors: Mapping[str, float], alexnet: Mapping[str, float]) -> float:
    """Mean corruption error: the mean of the 15 CE.

    Args:
        mean_errors: mean error over severities of each of the 15 corruptions, in [0, 1].
        alexnet: AlexNet's, likewise.

    Returns:
        mCE, at least 0; AlexNet's own is 1. The paper prints it times 100.

    Raises:
        UndefinedMetric, ValueError: as `corruption_errors`.
    """
    return mean(corruption_errors(mean_errors, alexnet).values())


def relative_mce(
    mean_errors: Mapping[str, float], clean_error: float, alexnet: Mapping[str, float], alexnet_clean_error: float
) -> float:
    """Relative mCE: how much the error grows over the clean error, normalised by how much AlexNet's grows.

    mean over c of (E_c - E_clean) / (E_c(AlexNet) - E_clean(AlexNet)).

    Args:
        mean_errors: mean error over severities of each of the 15 corruptions, in [0, 1].
        clean_error: error on the uncorrupted images, in [0, 1].
        alexnet: AlexNet's mean errors, in [0, 1].
        alexnet_clean_error: AlexNet's clean error, in [0, 1].

    Returns:
        Relative mCE; AlexNet's own is 1, and it is negative where corrupted images are classified better than clean
        ones. The paper prints it times 100.

    Raises:
        UndefinedMetric: a corruption is missing, or one does not raise AlexNet's error.
        ValueError: other corruptions are there, or an error isn't a fraction.
    """
    _require_mean_errors(mean_errors, alexnet)
    require_within(1, "clean errors", {"the classifier's": clean_error, "AlexNet's": alexnet_clean_error})
    growth = {corruption: mean_errors[corruption] - clean_error for corruption in CORRUPTIONS}
    alexnet_growth = {corruption: alexnet[corruption] - alexnet_clean_error for corruption in CORRUPTIONS}
    return mean(ratios(growth, alexnet_growth, "rise over its clean error").values())


def _require_mean_errors(mean_errors: Mapping[str, float], alexnet: Mapping[str, float]) -> None:
    for what, errors in (("mean errors", mean_errors), ("AlexNet's mean errors", alexnet)):
        require_exactly(CORRUPTIONS, errors, what)
        require_within(1, what, errors)
