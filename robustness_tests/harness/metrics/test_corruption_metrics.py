"""mCE and relative mCE against hand-worked cases; incomplete benchmarks have no figure."""

import math

import pytest

from harness.errors import NotMeasured
from harness.metrics.corruption import (
    CORRUPTIONS,
    EXTRA_CORRUPTIONS,
    SEVERITIES,
    corruption_errors,
    mce,
    mean_over_severities,
    relative_mce,
)


def uneven(scale: float) -> dict[str, float]:
    """Errors that differ from corruption to corruption."""
    return {corruption: scale * (0.3 + 0.04 * i) for i, corruption in enumerate(CORRUPTIONS)}


ALEXNET = uneven(1.0)


def all_cells() -> dict[tuple[str, int], float]:
    return {(corruption, severity): 0.1 * severity for corruption in CORRUPTIONS for severity in SEVERITIES}


def test_the_names_are_15_and_4_others():
    assert len(set(CORRUPTIONS)) == 15
    assert len(set(EXTRA_CORRUPTIONS)) == 4
    assert not set(CORRUPTIONS) & set(EXTRA_CORRUPTIONS)


class TestMeanOverSeverities:
    def test_hand_worked(self):
        cells = all_cells() | {("snow", 2): 0.9}
        means = mean_over_severities(cells)
        assert means["fog"] == pytest.approx(0.3)
        assert means["snow"] == pytest.approx((0.1 + 0.9 + 0.3 + 0.4 + 0.5) / 5)

    def test_comes_in_canonical_order_whatever_the_order_of_the_cells(self):
        backwards = dict(reversed(all_cells().items()))
        assert tuple(mean_over_severities(backwards)) == CORRUPTIONS
        assert mean_over_severities(backwards) == mean_over_severities(all_cells())

    def test_names_the_missing_cells(self):
        cells = all_cells()
        del cells["fog", 3], cells["snow", 1]
        with pytest.raises(NotMeasured, match=r"75 names; missing: snow/1, fog/3$"):
            mean_over_severities(cells)

    def test_names_ten_and_counts_the_rest(self):
        cells = list(all_cells().items())
        with pytest.raises(NotMeasured, match=r"missing: gaussian_noise/1, .*shot_noise/5$"):
            mean_over_severities(dict(cells[10:]))
        with pytest.raises(NotMeasured, match=r"missing: gaussian_noise/1, .*shot_noise/5 and 1 more$"):
            mean_over_severities(dict(cells[11:]))

    @pytest.mark.parametrize("cell", [("speckle_noise", 1), ("fog", 0), ("fog", 6)], ids=str)
    def test_names_cells_that_do_not_belong(self, cell: tuple[str, int]):
        with pytest.raises(ValueError, match=f"unknown: {cell[0]}/{cell[1]}$") as refusal:
            mean_over_severities(all_cells() | {cell: 0.5})
        assert not isinstance(refusal.value, NotMeasured), (
            "all cells are there: the caller is wrong, nothing is missing"
        )

    def test_names_both_when_a_cell_is_misspelt(self):
        cells = all_cells()
        cells["Fog", 3] = cells.pop(("fog", 3))
        with pytest.raises(NotMeasured, match=r"missing: fog/3; unknown: Fog/3$"):
            mean_over_severities(cells)

    @pytest.mark.parametrize("error", [math.nan, -0.1, 1.5, 43.5], ids=str)
    def test_refuses_what_is_no_fraction(self, error: float):
        with pytest.raises(ValueError, match=r"fog/3 is .*outside \[0, 1\]"):
            mean_over_severities(all_cells() | {("fog", 3): error})

    def test_says_so_where_it_looks_like_percent(self):
        with pytest.raises(ValueError, match="fractions are wanted, not percent"):
            mean_over_severities({cell: 100 * error for cell, error in all_cells().items()})


class TestMce:
    def test_of_alexnet_is_one(self):
        assert mce(ALEXNET, ALEXNET) == 1.0

    def test_of_a_perfect_classifier_is_zero(self):
        assert mce(dict.fromkeys(CORRUPTIONS, 0.0), ALEXNET) == 0.0

    def test_hand_worked(self):
        """14 corruptions at half of AlexNet's error, fog at three times."""
        errors = dict.fromkeys(CORRUPTIONS, 0.1) | {"fog": 0.6}
        assert mce(errors, dict.fromkeys(CORRUPTIONS, 0.2)) == pytest.approx((14 * 0.5 + 3) / 15)

    def test_is_the_mean_of_the_corruption_errors(self):
        errors = dict(reversed(uneven(0.8).items())) | {"snow": 0.2}
        ces = corruption_errors(errors, ALEXNET)
        assert tuple(ces) == CORRUPTIONS
        assert ces["snow"] == 0.2 / ALEXNET["snow"]
        assert mce(errors, ALEXNET) == pytest.approx(sum(ces.values()) / 15)

    def test_falls_in_proportion_to_the_errors(self):
        assert mce(uneven(0.25), ALEXNET) == pytest.approx(0.25)

    def test_is_a_ratio_of_means_not_a_mean_of_ratios(self):
        """Severities 0.1 .. 0.5 against AlexNet's 0.5 .. 0.1: the means are equal, the mean of ratios is not."""
        alexnet = {(corruption, severity): 0.6 - error for (corruption, severity), error in all_cells().items()}
        mean_of_ratios = sum(error / alexnet[cell] for cell, error in all_cells().items()) / 75
        assert mean_of_ratios == pytest.approx(1.74)
        assert mce(mean_over_severities(all_cells()), mean_over_severities(alexnet)) == pytest.approx(1.0)


class TestRelativeMce:
    def test_of_alexnet_is_one(self):
        assert relative_mce(ALEXNET, 0.2, ALEXNET, 0.2) == 1.0

    def test_of_a_classifier_that_corruptions_do_not_touch_is_zero(self):
        assert relative_mce(dict.fromkeys(CORRUPTIONS, 0.25), 0.25, ALEXNET, 0.2) == 0.0

    def test_hand_worked(self):
        """14 corruptions rise by 0.1 over the clean error, fog by 0.4, where AlexNet's rise by 0.2."""
        errors = dict.fromkeys(CORRUPTIONS, 0.3) | {"fog": 0.6}
        rise = relative_mce(errors, 0.2, dict.fromkeys(CORRUPTIONS, 0.6), 0.4)
        assert rise == pytest.approx((14 * 0.5 + 2) / 15)

    def test_is_negative_where_corrupted_images_are_easier(self):
        assert relative_mce(dict.fromkeys(CORRUPTIONS, 0.1), 0.2, dict.fromkeys(CORRUPTIONS, 0.6), 0.4) < 0

    def test_has_no_value_where_a_corruption_does_not_raise_alexnets_error(self):
        alexnet = ALEXNET | {"fog": 0.2}
        with pytest.raises(NotMeasured, match=r"rise over its clean error on fog is 0, which can't be divided by"):
            relative_mce(ALEXNET, 0.2, alexnet, 0.2)

    @pytest.mark.parametrize(("clean", "alexnet_clean"), [(20.7, 0.43), (0.2, 43.5), (math.nan, 0.43)], ids=str)
    def test_refuses_clean_errors_that_are_no_fractions(self, clean: float, alexnet_clean: float):
        with pytest.raises(ValueError, match="clean errors"):
            relative_mce(ALEXNET, clean, ALEXNET, alexnet_clean)


@pytest.mark.parametrize("which", ["classifier", "alexnet"])
@pytest.mark.parametrize(
    "metric",
    [corruption_errors, mce, lambda errors, alexnet: relative_mce(errors, 0.2, alexnet, 0.2)],
    ids=["corruption_errors", "mce", "relative_mce"],
)
class TestExactlyTheFifteen:
    def call(self, metric, which: str, changed: dict[str, float]) -> None:
        metric(changed, ALEXNET) if which == "classifier" else metric(ALEXNET, changed)

    def test_names_a_missing_corruption(self, metric, which: str):
        without_fog = {name: error for name, error in ALEXNET.items() if name != "fog"}
        with pytest.raises(NotMeasured, match=r"missing: fog$"):
            self.call(metric, which, without_fog)

    def test_refuses_the_extra_corruptions(self, metric, which: str):
        with pytest.raises(ValueError, match=r"unknown: speckle_noise, gaussian_blur, spatter, saturate$"):
            self.call(metric, which, ALEXNET | dict.fromkeys(EXTRA_CORRUPTIONS, 0.5))

    @pytest.mark.parametrize("error", [88.6, math.nan, -0.01], ids=str)
    def test_refuses_what_is_no_fraction(self, metric, which: str, error: float):
        with pytest.raises(ValueError, match="mean errors: fog is"):
            self.call(metric, which, ALEXNET | {"fog": error})


def test_an_alexnet_without_error_can_not_be_divided_by():
    with pytest.raises(NotMeasured, match="AlexNet's mean error on snow is 0"):
        mce(ALEXNET, ALEXNET | {"snow": 0.0})
