"""How much figures move where nothing but rounding differs, measured on real classifiers and photographs.

    python docs/noise_floor.py OUT.csv PHOTOGRAPHS SPEC [SPEC ...]

PHOTOGRAPHS is a folder that holds `val/<wnid>/*`. What `harness/reference/noise_floor.csv` holds was measured with
SqueezeNet 1.0 and MobileNet v1 of widths 0.25, 0.5 and 1.0 on 1000 photographs, in 27 minutes on two cores.

Every classifier sees the same images twice: in single precision, 32 images a batch, one thread; and once more with
other batches and threads (`fp32`), with bfloat16 (`bf16`), and with what convolutions and linear layers read rounded to
10 bits of mantissa, as tensor cores do (`tf32`: emulated, so that it needs no GPU; sums are in single precision in
both). Taken down is, classifier by classifier, which share of images is taken for another class, which share has other
top 5 classes or the same in another order, and the mean and mean square of the distance between the two top 5; for
attacks (published form, eps 0.06, 10 steps) which share of images comes out otherwise.
"""

import argparse
import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness.benchmarks.batches import batches
from harness.benchmarks.catalog import DataRoots, open_benchmark
from harness.benchmarks.images import Fitting
from harness.classifiers.classifier import Classifier
from harness.classifiers.loading import load
from harness.metrics.perturbation import top5_distances
from harness.protocols.attacks import Attack
from harness.protocols.classify import Classify, Questions
from harness.protocols.whitebox import WhiteBox

PRECISIONS = ("fp32", "tf32", "bf16")
ATTACKED = 128
"""Of the first images, on which attacks are compared, by default."""

SHIFTED_BITS = 13
"""Bits of single precision's mantissa beyond those that tf32 keeps."""


def main() -> None:
    """Measure every classifier in every precision, and write one row a figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("specs", nargs="+")
    parser.add_argument("--attacked", type=int, default=ATTACKED, help="on how many images attacks are compared")
    options = parser.parse_args()
    dataset = open_benchmark("imagenet", DataRoots(None, {"imagenet": options.photographs}))
    source = f"docs/noise_floor.py, torch {torch.__version__}"
    rows = []
    for text in options.specs:
        classifier = load(text)
        how = classifier.spec.preprocessing
        fitting = Fitting(how.resize, how.crop, how.interpolation)
        indices = np.arange(len(dataset))
        parts = list(batches(dataset, indices, fitting, batch_size=100, workers=0))
        pixels = torch.cat([batch.pixels for batch in parts])
        labels = dataset.labels[indices]
        known = classify(classifier, pixels, labels, "fp32", 32, 1)
        first = slice(options.attacked)
        fooled = attack(classifier, pixels[first], labels[first], "fp32", 32, 1)
        for precision in PRECISIONS:
            with as_tf32(classifier.module) if precision == "tf32" else same():
                again = classify(classifier, pixels, labels, precision, 7, 2)
                fooled_again = attack(classifier, pixels[first], labels[first], precision, 7, 2)
            distances = top5_distances(np.stack([known["top5"], again["top5"]], axis=1), noise=False)
            outcomes = {
                "changed": known["top5"][:, 0] != again["top5"][:, 0],
                "changed_top5": (known["top5"] != again["top5"]).any(axis=1),
                "top5_distance": distances,
                "top5_distance_squared": distances**2,
                "changed_under_attack": fooled != fooled_again,
            }
            for metric, values in outcomes.items():
                if len(values):
                    rows.append((precision, metric, classifier.spec.label, float(values.mean()), len(values), source))
                    print(*rows[-1], flush=True)
    with options.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("model", "metric", "condition", "value", "images", "source"))
        writer.writerows(rows)


def classify(
    classifier: Classifier, pixels: torch.Tensor, labels: np.ndarray, precision: str, batch_size: int, threads: int
) -> dict[str, np.ndarray]:
    """Classify all images, shape (n, 3, h, w), uint8; gives the columns of their records."""
    torch.set_num_threads(threads)
    look = Classify(
        classifier.logits, Questions(None, None), device=classifier.device, precision=as_computed(precision)
    )
    parts = [
        look(pixels[start : start + batch_size], labels[start : start + batch_size])
        for start in range(0, len(pixels), batch_size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def attack(
    classifier: Classifier, pixels: torch.Tensor, labels: np.ndarray, precision: str, batch_size: int, threads: int
) -> np.ndarray:
    """Attack all images in the published form for ten steps; gives the step at which each fell, shape (n,)."""
    torch.set_num_threads(threads)
    run = WhiteBox(
        classifier.module,
        Attack("published", ladder=(10,)),
        seed=0,
        classes=None,
        device=classifier.device,
        precision=as_computed(precision),
    )
    names = [str(place) for place in range(len(pixels))]
    parts = [
        run(pixels[start : start + batch_size], labels[start : start + batch_size], names[start : start + batch_size])
        for start in range(0, len(pixels), batch_size)
    ]
    return np.concatenate([np.zeros(0), *(part["first_fooled"].reshape(-1) for part in parts)]) > 0


def as_computed(precision: str) -> str:
    """Give the precision to compute in: what is emulated is computed in single precision."""
    return "fp32" if precision == "tf32" else precision


@contextmanager
def same() -> Iterator[None]:
    """Change nothing."""
    yield


@contextmanager
def as_tf32(module: nn.Module) -> Iterator[None]:
    """Round what convolutions and linear layers read, weights included, as tensor cores do."""
    layers = [each for each in module.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    weights = [layer.weight.data for layer in layers]
    hooks = [layer.register_forward_pre_hook(rounding) for layer in layers]
    for layer in layers:
        layer.weight.data = rounded(layer.weight.data)
    try:
        yield
    finally:
        for layer, weight in zip(layers, weights, strict=True):
            layer.weight.data = weight
        for hook in hooks:
            hook.remove()


def rounding(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Round a layer's input; gradients pass as they are."""
    return tuple(each + (rounded(each.detach()) - each.detach()) for each in inputs)


def rounded(numbers: torch.Tensor) -> torch.Tensor:
    """Round single precision to the nearest number with 10 bits of mantissa, ties away from zero."""
    bits = numbers.contiguous().view(torch.int32)
    half, mask = 1 << (SHIFTED_BITS - 1), -(1 << SHIFTED_BITS)
    return (bits + half).bitwise_and(mask).view(torch.float32)


if __name__ == "__main__":
    main()
