"""Every option of the suite, its ini key and environment variable, for pytest and for the command line alike."""

import os
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

from harness.protocols.attacks import EPS, LADDER, NAMES, RESTARTS, SURROGATE
from harness.protocols.maximizing import SHOWN_UNITS, STEPS

DEFAULT_RECORDS = ".robustness/records"
DEFAULT_REFERENCES = ".robustness/references"


@dataclass(frozen=True)
class Option:
    """One option, the same for pytest and for `python -m harness`.

    Attributes:
        flag: As typed, e.g. `--data-root`.
        help: One line for --help.
        metavar: How --help names the value; empty for a switch.
        default: Its value where nobody said otherwise, as typed.
        repeatable: Whether it may be given more than once.
        ini: Its key in pytest's ini file; empty for none.
        env: Its environment variable; empty for none.
    """

    flag: str
    help: str
    metavar: str = ""
    default: str | None = None
    repeatable: bool = False
    ini: str = ""
    env: str = ""

    @property
    def dest(self) -> str:
        """The name of the value once parsed."""
        return self.flag.removeprefix("--").replace("-", "_")

    def typed(self, value: Any) -> list[str]:
        """Give the arguments that say a value: a switch's alone, of what is repeatable one each."""
        if value is True:
            return [self.flag]
        return [f"{self.flag}={each}" for each in (value if self.repeatable else [value])]

    def keywords(self) -> dict[str, Any]:
        """Give the keyword arguments that argparse and pytest take alike."""
        if not self.metavar:
            return {"action": "store_true", "help": self.help, "default": False}
        keywords: dict[str, Any] = {"metavar": self.metavar, "help": self.help, "default": None}
        return {**keywords, "action": "append"} if self.repeatable else keywords


# Where benchmarks lie.
DATA = (
    Option("--data-root", "folder that holds one folder a benchmark", "DIR", ini="data_root", env="ROBUSTNESS_DATA"),
    Option("--data", "put one benchmark elsewhere (repeatable); imagenet-c and imagenet-p may be made from photographs "
           "as they are needed, with NAME=generate:DIR", "NAME=DIR", repeatable=True),
)  # fmt: skip

ENGINE = (
    Option("--engine", "what computes: local (this process) or ray (actors of a cluster, one a GPU)", "NAME", "local"),
    Option("--ray-address", "with --engine ray: HOST:PORT of the cluster to join, or auto for this machine's; by "
           "default one is started here for as long as the run lasts", "HOST:PORT"),
)  # fmt: skip

RECORDS = Option("--records", "the store of per-image records", "DIR", DEFAULT_RECORDS, ini="records")

MEASURING = (
    *DATA,
    RECORDS,
    Option("--images", "see only the first N (cell, image) pairs of a benchmark's seeded order: a uniform sample, the "
           "same for every classifier; all by default", "N"),
    Option("--seed", "seed of that order", "N", "0"),
    Option("--device", "auto, cpu, cuda or cuda:N; cuda is a GPU that no other process of the suite has leased",
           "DEVICE", "auto"),
    Option("--precision", "fp32, tf32 or bf16; recorded numbers are fp32", "NAME", "fp32"),
    Option(
        "--batch-size",
        "images a batch, or auto: 32 on a CPU; on a GPU as many of 512, or of 256 under attack, as fit",
        "N",
        "auto",
    ),
    *ENGINE,
    Option("--surrogate", f"spec on which transferred attacks are made; {SURROGATE} by default", "SPEC"),
    Option("--restarts", f"random starts a loss of the standard attacks; {RESTARTS} by default", "N"),
    Option("--normaliser", "spec by whose records of the same images, where the store has them, mCE and mFR of a "
           "subset are divided; alexnet by default", "SPEC"),
    Option("--alpha", "error rate of an interval, both tails together, and of a verdict", "P", "1e-3"),
)  # fmt: skip

ATTACKING = (
    Option("--protocol", f"classify (default), {', '.join(NAMES)}, maximize", "NAME", "classify"),
    Option("--eps", "largest change of a pixel, e.g. 0.06 or 8/255", "SIZE", f"{EPS:g}"),
    Option("--eps-reading", "absolute, or relative to the image's largest pixel as the paper's text has it", "NAME",
           "absolute"),
    Option("--step-size", "how far a pixel moves a step; 2/255, maximizing images 1/255", "SIZE"),
    Option("--steps", f"length of the attack ({LADDER[-1]}, maximizing images {STEPS}), or the steps at which outcomes "
           "are recorded, e.g. 10,20,50", "N[,N...]"),
    Option("--follow", "pgd-standard: follow fooled images too, for the accuracy at the last iterate (slower)"),
    Option("--units", f"maximize: units of the penultimate layer; {SHOWN_UNITS} drawn by default", "N[,N...]"),
    Option("--seed-images", "maximize: files to begin with; the first two of the seeded order by default",
           "FILE[,FILE...]"),
    Option("--grid", "maximize: draw the images into this PNG", "FILE"),
)  # fmt: skip

REFERENCES = Option(
    "--references",
    "folder of recorded classifiers, NAME.json each",
    "DIR",
    DEFAULT_REFERENCES,
    ini="references",
    env="ROBUSTNESS_REFERENCES",
)

# One classifier that is asked all that can be asked of one.
CANDIDATE = (
    Option("--candidate", "the classifier that -m candidate asks", "SPEC"),
    Option("--expect-like", "with --candidate: whose recorded figures its own must come near", "NAME"),
    Option("--against", "with --candidate: a classifier than which it must not be worse, image by image", "SPEC"),
    Option("--margin", "with --against: by how much it may be worse, in each metric's own unit; 0.005 by default",
           "SIZE"),
    Option("--xfails", "with --candidate: what it is expected to fail, a claim a line: ID, REASON", "FILE"),
)  # fmt: skip

RECORDING = (
    REFERENCES,
    Option("--attacks", "run the attacks too; without it they are recorded where the store has them complete"),
    Option("--replace", "replace what is recorded under this name"),
)

DECIDING = (
    Option("--decide", "draw images only until each claim is decided, at error rate --alpha over all looks"),
    Option("--budget", "with --decide: measure for so long at most, all claims together", "SECONDS"),
)  # fmt: skip

DIAGNOSING = (
    Option("--diagnose", "imagenet: say which other reading of the classifier's input or classes does clearly better; "
           "done anyway where top-1 is at chance"),
)  # fmt: skip

CLAIMS = (
    *DECIDING,
    *CANDIDATE,
    REFERENCES,
    Option("--plan", "say what is to be measured, for how long, and how many images decide each claim; run nothing"),
    Option("--classifiers", "specs whose claims are asked, narrowest first, comma-separated (repeatable); the paper's "
           "by default", "SPECS", repeatable=True),
    Option("--baseline", "spec that they are compared with; the paper's by default", "SPEC"),
    Option("--miniature-seed", "draw the miniature's test pictures from another seed, whose figures are not pinned",
           "N", "100"),
    Option("--report", "write a report there: index.html, verdicts.json, tables and figures", "DIR", ini="report"),
    Option("--compare", "with --report: an earlier report, from which the verdicts that changed are told", "DIR"),
    Option("--strict-data", "missing data is an error, not a skip"),
    Option("--prune-snapshots", "after a whole green run, delete pins that no test claims any more"),
    Option("--claims-only", "judge from the store, measure nothing"),
    Option("--shard", "measure the I-th of N shares of all chunks, from 1, and judge nothing", "I/N"),
)  # fmt: skip


def arguments(get: Callable[[Option], Any], *, without: Container[str], marks: str) -> list[str]:
    """Give the arguments of pytest that ask the same again, those aside that have their default.

    Args:
        get: From an option to its value, wherever that came from.
        without: Options to leave out, by `dest`.
        marks: The expression of -m.
    """
    found = ["-m", marks]
    for option in dict.fromkeys((*MEASURING, *CLAIMS)):
        value = get(option)
        if option.dest in without or value in (None, False, [], option.default):
            continue
        found += option.typed(value)
    return found


def value_of(
    option: Option,
    given: Any,
    ini: Callable[[str], str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Any:
    """Resolve an option: as typed, else its ini key, else its environment variable, else its default."""
    if given is not None:
        return given
    if option.ini and ini and (value := ini(option.ini)):
        return value
    return environment.get(option.env) or option.default if option.env else option.default
