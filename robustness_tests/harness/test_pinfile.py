"""Pin files: what is one, which figures may be compared, and what an update leaves as it was."""

import copy
import json
import math

import pytest

from harness import pinfile
from harness.errors import DataError

WITH = {"study": "paper", "weights": {"net": "sha256:11"}, "settings": {"seed": "0"}, "versions": {"numpy": "2"}}


def pin(value=0.25, **changes):
    known = {
        "value": value,
        "tolerance": 0.01,
        "derived": 0.01,
        "images": 100,
        "protocol": "classify",
        "data": {"a": "1"},
    }
    return known | changes


def document(recorded_with=WITH, **figures):
    return {"figures": figures, "recorded_with": copy.deepcopy(recorded_with)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("", "it is no JSON", id="empty"),
        pytest.param("<<<<<<< HEAD\n{}", "it is no JSON", id="conflict"),
        pytest.param("[1]", "it lacks figures and recorded_with", id="list"),
        pytest.param('{"mce": {"value": 0.5, "tolerance": 0.1}}', "it lacks figures and recorded_with", id="foreign"),
        pytest.param('{"figures": {"mce": 1}, "recorded_with": {}}', "value of 'mce' is missing", id="number"),
        *(
            pytest.param(json.dumps(document(mce={**pin(), key: value})), f"{key} of 'mce'", id=f"{key}_{name}")
            for key, name, value in (
                ("value", "word", "high"),
                ("value", "nan", math.nan),
                ("value", "true", True),
                ("tolerance", "negative", -0.1),
                ("tolerance", "missing", None),
                ("images", "fraction", 0.5),
                ("protocol", "number", 1),
                ("data", "word", "a"),
            )
        ),
        pytest.param(json.dumps(document(mce=pin(derived="x"))), "tolerance of 'mce'", id="derived_word"),
    ],
)
def test_what_is_no_pin_file_is_said_in_one_line_with_its_name(tmp_path, text, told):
    path = tmp_path / "test_it[a].json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"test_it\[a\].json is no file of pins: .*--snapshot-update") as error:
        pinfile.read(path)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_cannot_be_read_is_said_in_one_line(tmp_path):
    with pytest.raises(DataError, match="it can't be read, Is a directory"):
        pinfile.read(tmp_path)
    (tmp_path / "latin").write_bytes(b"\xe9")
    with pytest.raises(DataError, match="it can't be read, it is no UTF-8"):
        pinfile.read(tmp_path / "latin")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_not_pinned(value):
    with pytest.raises(DataError, match="mce is .* no number to pin"):
        pinfile.dump(document(mce=pin(value)))


def test_the_same_pins_are_the_same_text():
    text = pinfile.dump(document(b=pin(), a=pin()))
    assert text == pinfile.dump(document(a=pin(), b=pin())) == pinfile.dump(pinfile.parse(text, "it"))
    assert text.endswith("}\n")


@pytest.mark.parametrize(
    ("got", "pinned", "verdict", "why"),
    [
        pytest.param(pin(0.2599), pin(0.25), "ok", "", id="within"),
        pytest.param(pin(0.2601), pin(0.25), "FAIL", "", id="beyond"),
        pytest.param(pin(0.2399), pin(0.25), "FAIL", "", id="below"),
        pytest.param(pin(0.9, tolerance=1.0), pin(0.25), "FAIL", "", id="own_tolerance_does_not_count"),
        pytest.param(pin(), None, "not pinned", "", id="new"),
        pytest.param(None, pin(), "not measured", "no folder", id="gone"),
        pytest.param(pin(data={"a": "2"}), pin(), "not compared", "pinned on other data (a)", id="data"),
        pytest.param(pin(data={"a": "1", "b": "1"}), pin(), "not compared", "pinned on other data (b)", id="more_data"),
        pytest.param(
            pin(protocol="classify, bf16"),
            pin(),
            "not compared",
            "the protocol is 'classify, bf16', pinned is 'classify'",
            id="protocol",
        ),
        pytest.param(pin(images=1000), pin(), "not compared", "pinned on 100 images, not 1,000", id="images"),
    ],
)
def test_figures_are_compared_where_they_are_of_the_same(got, pinned, verdict, why):
    new, old = (document(**({"mce": each} if each else {})) for each in (got, pinned))
    (row,) = pinfile.rows(new, old, {"mce": "no folder"})
    assert (row.name, row.verdict, row.why) == ("mce", verdict, why)
    assert row.is_compared == (verdict in ("ok", "FAIL"))


def test_other_weights_and_versions_are_named_and_compared():
    now = document(WITH | {"weights": {"net": "sha256:22"}, "versions": {"numpy": "3", "torch": "9"}}, mce=pin())
    then = document(mce=pin())
    assert [row.verdict for row in pinfile.rows(now, then)] == ["ok"]
    assert pinfile.differences(now, then) == [
        "versions numpy: pinned with 2, now 3",
        "versions torch: pinned with none, now 9",
        "weights net: pinned with sha256:11, now sha256:22",
    ]
    assert pinfile.differences(then, then) == []


@pytest.mark.parametrize(
    ("before", "tolerance"),
    [
        pytest.param({"tolerance": 0.01, "derived": 0.01}, 0.5, id="derived_is_renewed"),
        pytest.param({"tolerance": 0.02, "derived": 0.01}, 0.02, id="edited_stays"),
        pytest.param({"tolerance": 0.0, "derived": 0.01}, 0.0, id="edited_to_zero_stays"),
    ],
)
def test_an_update_renews_tolerances_that_nobody_edited(before, tolerance):
    new = document(mce=pin(0.3, tolerance=0.5, derived=0.5))
    found = pinfile.merged(new, document(mce=pin(**before)))
    assert found["figures"]["mce"] == pin(0.3, tolerance=tolerance, derived=0.5)
    assert pinfile.merged(new, found) == found


def test_a_tolerance_without_what_it_was_derived_from_was_written_by_hand():
    by_hand = {key: value for key, value in pin(tolerance=0.04).items() if key != "derived"}
    assert pinfile.merged(document(mce=pin()), document(mce=by_hand))["figures"]["mce"] == pin(tolerance=0.04)


def test_what_is_not_measured_stays_with_what_it_was_recorded_with():
    later = WITH | {"versions": {"numpy": "3"}}
    found = pinfile.merged(document(later, mce=pin(0.3)), document(mce=pin(), mfr=pin(0.7)))
    assert found == document(later, mce=pin(0.3), mfr=pin(0.7) | {"recorded_with": WITH})
    assert pinfile.differences(document(later), found) == ["versions numpy: pinned with 2, now 3"]
    assert pinfile.merged(document(WITH, mfr=pin(0.8)), found)["figures"] == {
        "mce": pin(0.3) | {"recorded_with": later},
        "mfr": pin(0.8),
    }
