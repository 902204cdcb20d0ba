"""Which logits of a classifier with other classes are those of the 1000 ImageNet classes."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from harness.benchmarks.classes import class_index
from harness.errors import UsageError, some


@dataclass(frozen=True)
class ClassMapping:
    """The classes of a classifier, of which ImageNet's 1000 are picked.

    Attributes:
        sha256: Of the wnids in their order, whatever the file is called and else says; 64 hex digits.
        classes: How many logits the classifier gives.
        places: Per ImageNet class, in the order of the sorted wnids, the place of its logit.
    """

    sha256: str
    classes: int
    places: tuple[int, ...] = field(compare=False, repr=False)


def read_wnids(path: Path) -> ClassMapping:
    """Read a text file with one wnid a line: that of line i is the class of logit i.

    The first word of a line counts; empty lines and those that begin with # do not. Wnids that are not among
    ImageNet's 1000 have a logit like all others, which is not looked at.

    Raises:
        UsageError: The file can't be read, lacks one of the 1000, or names one of them twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"wnids={path}: can't be read ({reason}); expected one wnid a line") from error
    wnids = [line.split()[0] for line in lines if line.strip() and not line.lstrip().startswith("#")]
    place: dict[str, int] = {}
    twice: dict[str, None] = {}
    for number, wnid in enumerate(wnids):
        if wnid in place and wnid in class_index():
            twice[wnid] = None
        place[wnid] = number
    if twice:
        raise UsageError(f"wnids={path}: {len(twice)} wnids are named twice ({some(list(twice))}); name each once")
    missing = [wnid for wnid in class_index() if wnid not in place]
    if missing:
        raise UsageError(
            f"wnids={path}: {len(missing)} of ImageNet's 1000 wnids are missing ({some(missing)}); the file needs one "
            "line a logit, in the order of the logits"
        )
    digest = hashlib.sha256("\n".join(wnids).encode()).hexdigest()
    return ClassMapping(digest, len(wnids), tuple(place[wnid] for wnid in class_index()))
