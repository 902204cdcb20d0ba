"""Says of what went wrong inside a classifier which one it was, and over which image."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.errors import ClassifierError, HarnessError, NoGradient, NonFinite, in_one_line


@contextmanager
def blaming(who: str, image: Callable[[int], object], what: str) -> Iterator[None]:
    """Turn what a classifier raises into one line that names it.

    Args:
        who: The classifier, as typed.
        image: From a place in the batch to the name of its image.
        what: What it was given, for errors of its own code.

    Raises:
        ClassifierError: In place of whatever was raised, errors of the harness aside.
        NoGradient: Where it was raised.
    """
    try:
        yield
    except NonFinite as error:
        raise ClassifierError(
            f"{who}: NaN or infinite {error.what} for {image(error.place)}; check its weights and its mean and std"
        ) from error
    except NoGradient as error:
        raise NoGradient(f"{who}: {error}") from error
    except HarnessError:
        raise
    except Exception as error:  # whatever the classifier's own code raises
        raise ClassifierError(f"{who} fails on {what} ({in_one_line(error)})") from error
