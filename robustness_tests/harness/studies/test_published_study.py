"""The study `published`: Tables 1 to 4 recomputed from the author's raw results."""

import re

import pytest

from harness import recorded
from harness.errors import NotMeasured
from harness.studies import quantities
from harness.studies.published import PublishedStudy
from harness.studies.study import BASELINE, WSL, quoted
from harness.verdicts.rules import higher

STUDY = PublishedStudy()

# As PROTOCOLS of the paper's runs gives them, in the order baseline, 8d, 16d, 32d, 48d; percent.
RECOMPUTED = {
    "mce": (quantities.MCE, [66.651, 51.740, 48.785, 46.991, 45.697], 0.0005),
    "rel_mce": (quantities.REL_MCE, [91.028, 65.583, 64.994, 63.813, 61.738], 0.0005),
    "mfr": (quantities.MFR, [46.148, 38.760, 32.731, 29.723, 27.832], 0.0005),
    "distance": (quantities.MEAN_TOP5_DISTANCE, [200.5, 159.0, 147.7, 148.2, 146.6], 0.05),
}


@pytest.mark.parametrize(("quantity", "expected", "rounding"), RECOMPUTED.values(), ids=RECOMPUTED)
def test_aggregates_of_table_1_are_recomputed(quantity, expected, rounding):
    found = [100 * STUDY.figure(quantity, subject).estimate.value for subject in (BASELINE, *WSL)]
    assert found == pytest.approx(expected, abs=rounding)


def test_figures_carry_their_images_and_protocol():
    figure = STUDY.figure(quantities.whitebox_accuracy(0.06, 50), WSL[1])
    assert (figure.estimate.value, figure.estimate.images, figure.where) == (0.003, 25_000, "Table 2")
    assert "50 steps, random target" in figure.protocol
    assert "clean image on failure" in figure.protocol
    assert figure.tags == {
        "targeted": "random class",
        "early_stop": "yes",
        "fallback": "clean image",
        "scored": "first iterate taken for the target",
    }


def test_it_can_not_say_how_well_attacks_work_that_would_be_run_today():
    with pytest.raises(NotMeasured, match="recorded figures say nothing of how the attack works"):
        STUDY.missed_outcomes(quantities.missed_outcomes(quantities.whitebox_accuracy(0.06, 10).attack))


def test_unlike_metrics_are_compared_only_where_it_is_said_why():
    alp, accuracy = "ALP (InceptionV3)", quantities.whitebox_accuracy(0.06, 10)
    with pytest.raises(NotMeasured, match="unlike: targeted random class against least likely class; early_stop yes"):
        STUDY.compare(accuracy, WSL[0], alp)
    comparison = STUDY.compare(accuracy, WSL[0], alp, unlike="the paper does")
    assert comparison.difference.value == pytest.approx(0.34384 - 0.279)
    assert comparison.note == "the paper does"
    assert "; the paper does" in f"; {higher(comparison).reason}"
    assert STUDY.compare(accuracy, WSL[0], WSL[1], unlike="the paper does").note == ""


def test_everyone_plays_their_own_part_and_who_does_not_appear_none():
    for row in (BASELINE, *WSL, STUDY.surrogate, "ALP (InceptionV3)", "Humans (Geirhos et al., 2019)"):
        assert STUDY.player(row) == row
    with pytest.raises(NotMeasured, match="^the claim is about resnet18$"):
        STUDY.player("resnet18")


def test_the_author_ran_no_standard_attack():
    with pytest.raises(NotMeasured, match="published form only"):
        STUDY.figure(quantities.whitebox_accuracy(0.06, 10, "standard"), WSL[0])


def test_quoted_rows_are_those_of_the_paper():
    assert STUDY.figure(quantities.MCE, "Patch Gaussian (ResNet-200)").estimate.value == 0.604
    assert quoted(quantities.SHAPE_BIAS, "Humans (Geirhos et al., 2019)").estimate.value == 0.959


def test_what_is_published_nowhere_is_not_measured():
    with pytest.raises(NotMeasured, match="AlexNet's top-5 distances.*published nowhere"):
        STUDY.figure(quantities.MT5D, BASELINE)
    with pytest.raises(NotMeasured, match="records no whitebox_accuracy"):
        STUDY.figure(quantities.whitebox_accuracy(0.01, 10), "resnext50_32x4d")


def test_gains_are_positive_where_a_subject_is_better():
    comparison = STUDY.gain(quantities.MCE, WSL[0], times=2, over=quantities.IMAGENET_TOP1)
    assert comparison.first.estimate.value == pytest.approx(0.66651 - 0.51740, abs=1e-4)
    assert comparison.second.estimate.value == pytest.approx(2 * (0.822 - 0.793))
    assert comparison.difference.value == pytest.approx(0.14911 - 0.058, abs=1e-4)


def test_figures_rest_on_the_recorded_tables(monkeypatch):
    before = STUDY.provenance(quantities.MCE, BASELINE)
    assert before.weights.keys() == {"alexnet", "author_results", "paper_tables"}
    assert all(re.fullmatch("sha256:[0-9a-f]{16}", each) for each in before.weights.values())
    assert (before.study, before.data, before.settings) == ("published", {}, {})
    read = recorded._text
    monkeypatch.setattr(recorded, "_text", lambda name: read(name) + ("x" if name == "alexnet" else ""))
    after = STUDY.provenance(quantities.MCE, BASELINE).weights
    assert [name for name in after if after[name] != before.weights[name]] == ["alexnet"]
