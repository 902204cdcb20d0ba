import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from harness.metrics.calibration import aurra
from harness.report.charts import charts, images_to_verdict, reliability, response_rates, trend
from harness.report.evidence import Confidences, Evidence, Person, gather
from harness.report.tables import SHOWN
from harness.studies.published import PublishedStudy


@pytest.fixture(scope="module")
def published():
    return gather(PublishedStudy(), SHOWN)


@pytest.fixture(scope="module")
def drawn(published):
    return {chart.name: chart for chart in charts(published)}


def test_the_charts_of_recorded_results_are_those_of_what_is_recorded(drawn):
    assert set(drawn) == {
        *(f"figure1{part}_published_published" for part in "abc"),
        "corruptions_published",
        "perturbations_published",
    }


def test_a_chart_says_its_numbers_in_words(drawn):
    """Table 2's cells for 10 and 50 steps (Orhan, 2019) are points of Figure 1c."""
    words = drawn["figure1c_published_published"].alternative
    assert "resnext101_32x16d_wsl: 40.7 % at PGD steps 10" in words
    assert "0.3 % at PGD steps 50" in words


def test_a_picture_takes_the_pages_ink_and_width(drawn):
    for chart in drawn.values():
        root = ElementTree.fromstring(chart.svg)
        assert "width" not in root.attrib
        assert "height" not in root.attrib
        assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", chart.title)
        assert "currentColor" in chart.svg
        assert "#010203" not in chart.svg
        with Image.open(io.BytesIO(chart.png)) as image:
            assert image.width > 500


def test_pictures_in_one_page_share_no_name(drawn):
    names = [name for chart in drawn.values() for name in re.findall(r' id="([^"]+)"', chart.svg)]
    assert names
    assert len(names) == len(set(names))
    for chart in drawn.values():
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', chart.svg))
        assert used <= set(re.findall(r' id="([^"]+)"', chart.svg))


def test_the_same_numbers_are_the_same_picture(published, drawn):
    again = {chart.name: chart for chart in charts(published)}
    assert {name: chart.svg for name, chart in again.items()} == {name: chart.svg for name, chart in drawn.items()}


def test_an_adversarially_trained_classifier_is_shown_beside(drawn):
    assert "Denoising (ResNet-152), trained against attacks" in drawn["figure1c_published_published"].svg
    assert "trained against attacks" not in drawn["figure1a_published_published"].svg


def test_reliability_is_by_hand():
    known = Confidences(np.linspace(0.05, 0.95, 10).repeat(2), np.tile([True, False], 10))
    points = reliability(known)
    assert [accuracy for _, accuracy in points] == [0.5] * 10
    assert [confidence for confidence, _ in points] == pytest.approx(np.linspace(0.05, 0.95, 10))
    assert reliability(Confidences(np.array([0.5]), np.array([True]))) == [(0.5, 1.0)]


def test_the_area_below_response_rates_is_aurra():
    generator = np.random.default_rng(0)
    confidence, correct = generator.random(100), generator.random(100) < 0.6
    points = response_rates(Confidences(confidence, correct))
    assert np.mean([accuracy for _, accuracy in points]) == pytest.approx(aurra(confidence, correct))
    assert points[-1] == (1.0, pytest.approx(correct.mean()))


def test_what_a_classifier_said_of_imagenet_a_is_drawn():
    known = Confidences(np.linspace(0, 1, 50), np.arange(50) % 2 == 0)
    evidence = Evidence("live", (Person("a", "a"),), confidences={"a": known})
    assert [chart.name for chart in charts(evidence)] == ["reliability_live", "response_rate_live"]


def test_images_to_verdict_says_how_many_by_claim(entry):
    entries = [entry(images=300), entry(images=3000), entry(claim="C2", images=64, verdict="fails")]
    chart = images_to_verdict([*entries, entry(claim="C3", verdict="not_run", images=0)])
    assert chart.alternative == "Images by claim. C1: 300 to 3,000; C2: 64."
    assert images_to_verdict([entry(images=0)]) is None


def test_a_trend_takes_two_runs():
    lines = [{"time": f"2026-03-0{day}", "totals": {"holds": day, "fails": 0}} for day in (1, 2)]
    assert trend(lines[:1]) is None
    assert "run 2 (2026-03-02): 2 holds, 0 fails" in trend(lines).alternative
    assert trend(lines * 20) is not None
