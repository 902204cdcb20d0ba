"""How lines are folded for terminals of different widths, and left whole where nothing is known."""

from types import SimpleNamespace

import pytest

from harness.suite import layout

ROWS = [("claim", "metric", "value"), ("C1", "a_metric_with_a_name", "51.74 %"), ("C10", "mce", "")]


def writer(is_terminal, width=60):
    return SimpleNamespace(isatty=lambda: is_terminal, _tw=SimpleNamespace(fullwidth=width))


@pytest.mark.parametrize(
    ("is_terminal", "columns", "width"),
    [
        pytest.param(True, "", 60, id="terminal"),
        pytest.param(False, "60", 60, id="told"),
        pytest.param(False, "", layout.UNKNOWN, id="log"),
    ],
)
def test_lines_are_as_wide_as_the_terminal_and_wider_in_a_log(monkeypatch, is_terminal, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    assert layout.width_of(writer(is_terminal)) == width


def test_a_process_that_writes_nowhere_folds_nothing():
    assert layout.width_of(None) == layout.UNKNOWN


def test_a_row_that_fits_is_one_line():
    assert layout.columns(ROWS, 37, head=1) == [
        ["claim  metric                value"],
        ["C1     a_metric_with_a_name  51.74 %"],
        ["C10    mce"],
    ]


def test_a_row_that_does_not_fit_goes_on_beneath_what_it_is_about():
    assert layout.columns(ROWS, 36, head=1) == [
        ["claim", "       metric", "       value"],
        ["C1", "       a_metric_with_a_name", "       51.74 %"],
        ["C10", "       mce"],
    ]
    assert layout.columns(ROWS, 38 + 2, head=1) == layout.columns(ROWS, 37, head=1)
    assert layout.columns(ROWS, 36, head=2)[1] == ["C1     a_metric_with_a_name", "       51.74 %"]


def test_a_cell_that_fits_nowhere_is_cut():
    (_, (_, metric, _), _) = layout.columns(ROWS, 20, head=1)
    assert metric == "       a_metric_..."
    assert len(metric) == 19


def test_texts_are_folded_between_words():
    text = "data root: /a/long/path/that/is/no/word; missing imagenet-c"
    assert layout.folded(text, 30, "  ") == [
        "data root:",
        "  /a/long/path/that/is/no/word;",
        "  missing imagenet-c",
    ]
    assert layout.folded(text, 200) == [text]
    assert layout.folded("", 60) == []
