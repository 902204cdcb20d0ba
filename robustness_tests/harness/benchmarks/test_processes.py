"""What becomes of processes that decode or make images is told in one line, whatever torch says of it."""

import pytest

from harness.benchmarks.processes import given
from harness.errors import DataError, DecoderLost


class Loader:
    """Gives some things, and raises what torch's would."""

    num_workers = 0

    def __init__(self, things, error=None):
        self._things, self._error = things, error

    def __iter__(self):
        yield from self._things
        if self._error:
            raise self._error


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"),
        RuntimeError("Pin memory thread exited unexpectedly"),
        ConnectionResetError(104, "Connection reset by peer"),
        EOFError(),
    ],
    ids=["exited", "pinning", "reset", "ended"],
)
def test_a_process_that_is_lost_is_told_after_what_it_gave(error):
    found = given(Loader([1, 2], error), "reads", "go on")
    assert [next(found), next(found)] == [1, 2]
    with pytest.raises(DecoderLost, match="a process that reads was ended from outside, .* memory; go on"):
        next(found)


def test_other_errors_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="of another kind"):
        list(given(Loader([], RuntimeError("of another kind")), "reads", "go on"))


def test_an_error_that_is_handed_over_is_raised():
    found = given(Loader([1, DataError("no image"), 2]), "reads", "go on")
    assert next(found) == 1
    with pytest.raises(DataError, match="no image"):
        next(found)
