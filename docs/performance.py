"""What the paper's study costs, by arithmetic: images, passes, hours on so many GPUs, bytes.

    python docs/performance.py [TFLOPS]

TFLOPS is what a GPU computes a second in these networks, 20 by default: operations of a pass, divided by the seconds
that it takes. Operations are counted by torch on tensors without numbers; nothing is measured.
"""

import sys
from collections.abc import Iterator

from harness.benchmarks.dataset import PUBLISHED_FORM
from harness.benchmarks.imagenet_p import FRAMES
from harness.classifiers.catalog import CATALOG
from harness.protocols.attacks import Attack
from harness.protocols.maximizing import Maximize
from harness.protocols.needs import Need
from harness.references import QUANTITIES
from harness.studies.live import Attacks
from harness.studies.study import BASELINE, WSL
from harness.suite.plan import passes_under
from harness.torchvision_ops import import_torchvision

IMAGES = {
    "imagenet": 50_000,
    "imagenet-c": 3_750_000,
    "imagenet-p": 500_000,
    "imagenet-a": 7_500,
    "cue-conflict": 1_280,
}
GPUS = (1, 8, 64)


def needs() -> Iterator[Need]:
    """Give all that the study asks of a classifier."""
    attacks = Attacks()
    yield from dict.fromkeys(need for quantity in QUANTITIES.values() for need in attacks.needs(quantity))


def passes(need: Need) -> float:
    """Count forward passes of the classifier itself; each step of an attack counts as three, as if all were taken."""
    assert not isinstance(need, Maximize)
    if isinstance(need, Attack):
        if need.surrogate:  # whose images are made once for all, on the surrogate
            return IMAGES["imagenet"] * (1 + len(need.ladder))
        return IMAGES["imagenet"] * passes_under(need)
    frames = sum(FRAMES) / len(FRAMES) if need == "imagenet-p" else 1
    return IMAGES[need] * frames


def flops(name: str) -> int:
    """Count the floating-point operations of a pass."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    entry, side = CATALOG[name], PUBLISHED_FORM.side
    with torch.device("meta"):
        network = import_torchvision().models.get_model(entry.architecture, weights=None, **entry.options).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.empty(1, 3, side, side))
    return int(counter.get_total_flops())


def told(number: float) -> str:
    """Write a number of hours."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.1f}"


def main(tflops: float) -> None:
    """Print both tables."""
    groups: dict[str, float] = dict.fromkeys(
        ("classify", "white-box, published form", "white-box, standard form", "transfer"), 0.0
    )
    for need in needs():
        if isinstance(need, Attack):
            kind = "transfer" if need.surrogate else f"white-box, {need.form} form"
        else:
            kind = "classify"
        groups[kind] += passes(need)
    print("| | passes a classifier, in millions |\n| --- | --- |")
    for kind, count in groups.items():
        print(f"| {kind} | {count / 1e6:,.1f} |")
    heads = [f"{kind}, hours on {gpus} GPU{'s' * (gpus > 1)}" for kind in ("classify", "all") for gpus in GPUS]
    print(f"\n| classifier | GFLOP a pass | {' | '.join(heads)} |\n|{' --- |' * (2 + len(heads))}")
    sums = [0.0] * len(heads)
    for name in (BASELINE, *WSL):
        operations = flops(name)
        hours = [count * operations / (tflops * 1e12) / 3600 for count in (groups["classify"], sum(groups.values()))]
        cells = [each / gpus for each in hours for gpus in GPUS]
        sums = [total + cell for total, cell in zip(sums, cells, strict=True)]
        print(f"| `{name}` | {operations / 1e9:.1f} | {' | '.join(map(told, cells))} |")
    print(f"| all five | | {' | '.join(map(told, sums))} |")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0)
