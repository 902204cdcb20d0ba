"""How far a measurement is: in words, to the log, and written down for whoever watches."""

import logging
import os
from itertools import count

import pytest

from harness import progress
from harness.progress import Progress, State, in_words, shown


@pytest.fixture
def place(tmp_path):
    """Give the file in which this process shows how far it is."""
    before = progress.show_in(tmp_path / "main")
    yield tmp_path / "main"
    progress.show_in(before)


@pytest.fixture
def clock(monkeypatch):
    """Have a second pass whenever somebody looks at the clock."""
    seconds = count(100.0)
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (45, "45 s"), (90, "1.5 min"), (5400, "1.5 h"), (200_000, "2.3 days")]
)
def test_times_are_told_in_the_unit_that_fits(seconds, words):
    assert in_words(seconds) == words


HALF = State("alexnet on imagenet-c", 1500, 3000, "images", 60.0)


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "alexnet on imagenet-c: 1,500 of 3,000 images, 25/s, 1.0 min left"),
        (64, "alexnet on imagenet-c: 1,500 of 3,000 images, 25/s, 1.0 min left"),
        (63, "alexnet on imagenet-c: 50 %, 1.0 min left"),
        (40, "alexnet on imagen...: 50 %, 1.0 min left"),
        (30, "alexnet...: 50 %, 1.0 min left"),
    ],
)
def test_it_is_said_as_long_as_there_is_room(width, line):
    assert HALF.fitted(width) == line
    assert len(line) <= width


def test_before_anything_is_done_no_rate_is_told():
    assert State("alexnet on imagenet", 0, 50000, "images", 3.0).texts[0] == "alexnet on imagenet: 0 of 50,000 images"


def test_it_is_shown_from_the_beginning_until_all_is_done(place, clock):
    with Progress("alexnet on imagenet", 10) as told:
        assert shown(place.parent) == [State("alexnet on imagenet", 0, 10, "images", 0.0)]
        told.tell(4)
        (state,) = shown(place.parent)
        assert (state.done, state.total) == (4, 10)
        assert state.seconds > 0
        told.tell(10)
        assert shown(place.parent) == []


def test_what_ends_early_is_shown_no_longer(place):
    def measure():
        with Progress("alexnet on imagenet", 10):
            found.extend(shown(place.parent))
            raise ValueError("broken")

    found = []
    with pytest.raises(ValueError, match="broken"):
        measure()
    assert len(found) == 1
    assert shown(place.parent) == []
    assert os.listdir(place.parent) == []


def test_it_is_written_down_no_oftener_than_somebody_looks(place, monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    with Progress("alexnet on imagenet", 10) as told:
        for done in range(1, 9):
            told.tell(done)
        assert [state.done for state in shown(place.parent)] == [0]


def test_each_process_is_shown(place):
    (place.parent / "gw0").write_text('{"what": "a", "done": 1, "total": 2, "unit": "images", "seconds": 1.0}')
    (place.parent / "gw1").write_text('{"what": "half wri')
    with Progress("b", 10):
        assert [state.what for state in shown(place.parent)] == ["a", "b"]
    assert progress.beside("gw2") == place.parent / "gw2"


def test_where_nobody_watches_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_shown_in", None)
    with Progress("alexnet on imagenet", 10) as told:
        told.tell(10)
    assert progress.beside("other") is None


def test_a_folder_that_has_gone_does_not_end_the_measurement(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "_shown_in", tmp_path / "gone" / "main")
    with Progress("alexnet on imagenet", 10) as told:
        told.tell(1)


def test_the_log_is_told_every_ten_seconds(monkeypatch, caplog):
    caplog.set_level(logging.INFO, "harness")
    seconds = iter([0.0, 5.0, 10.0, 15.0, 20.0])
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    told = Progress("alexnet on imagenet", 100)
    add = told.after(40)
    for done in (10, 20, 30, 40):
        add(done)
    assert caplog.messages == [
        "alexnet on imagenet: 60 of 100 images, 6/s, 7 s left",
        "alexnet on imagenet: 80 of 100 images, 4/s, 5 s left",
    ]
