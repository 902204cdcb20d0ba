"""Compares ImageNet-C as generated here with what imagecorruptions 1.1.2 generates: speed, determinism, likeness.

Needs photographs (`<data>/imagenet/val/<wnid>/*`) and, for errors, classifiers; prints Markdown tables.

    python3 -m venv .venv-corruptions && . .venv-corruptions/bin/activate
    pip install -e . -r benchmarks/corruptions/requirements.txt
    python benchmarks/corruptions/compare_imagecorruptions.py --data DIR --classifier NAME=SPEC > tables.md

imagecorruptions 1.1.2 no longer runs as installed, so three things are put back before it is imported: `np.float_`,
scikit-image's `multichannel` and `pkg_resources`. Its functions are called as they are.
"""

import argparse
import io
import os
import sys
import time
import types
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from harness.benchmarks.imagenet import open_imagenet
from harness.classifiers.classifier import Classifier
from harness.classifiers.loading import load
from harness.corruptions import corrupt
from harness.corruptions.draws import Draws
from harness.corruptions.parameters import PARAMETERS
from harness.metrics.corruption import CORRUPTIONS, SEVERITIES
from harness.torchvision_ops import import_torchvision

_BATCH = 16

Pixels = NDArray[np.uint8]
"""Shape (n, 224, 224, 3)."""


def import_imagecorruptions() -> tuple[types.ModuleType, Path]:
    """Import imagecorruptions with what it needs put back, and find its folder."""
    import skimage.filters

    gaussian = skimage.filters.gaussian

    def gaussian_as_before(image: Any, sigma: Any = 1, multichannel: bool = False, **options: Any) -> Any:
        return gaussian(image, sigma, channel_axis=-1 if multichannel else None, **options)

    if not hasattr(np, "float_"):
        np.float_ = np.float64
    resources = types.ModuleType("pkg_resources")
    resources.resource_filename = lambda package, name: str(Path(sys.modules[package].__file__).parent / name)
    sys.modules["pkg_resources"] = resources
    skimage.filters.gaussian = gaussian_as_before
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import imagecorruptions
    finally:
        skimage.filters.gaussian = gaussian
    return imagecorruptions, Path(imagecorruptions.__file__).parent


def read_photographs(data: Path, count: int) -> tuple[Pixels, list[str], NDArray[np.int64]]:
    """Read photographs as ImageNet-C is made from them, shuffled by a seed: pixels, ids and labels."""
    import_torchvision()
    from torchvision.transforms import CenterCrop, Compose, Resize

    dataset = open_imagenet(data / "imagenet")
    order = np.random.RandomState(0).permutation(len(dataset.images))[:count]
    fit = Compose([Resize(256), CenterCrop(224)])
    pixels = np.stack([np.asarray(fit(Image.open(dataset.path(int(place))).convert("RGB"))) for place in order])
    return pixels, [dataset.images[place] for place in order], np.asarray(dataset.labels)[order]


def ours(pixels: Pixels, corruption: str, severity: int, ids: Sequence[str]) -> Pixels:
    """Generate here, in batches."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    parts = [
        corrupt(images[start : start + _BATCH], corruption, severity, ids[start : start + _BATCH])
        for start in range(0, len(images), _BATCH)
    ]
    return torch.cat(parts).permute(0, 2, 3, 1).numpy()


def theirs_by(package: types.ModuleType) -> Callable[[Pixels, str, int, Sequence[str]], Pixels]:
    """Generate by imagecorruptions, image by image, numpy's seed set before the first."""

    def theirs(pixels: Pixels, corruption: str, severity: int, ids: Sequence[str]) -> Pixels:
        np.random.seed(severity)
        return np.uint8([package.corrupt(image, severity=severity, corruption_name=corruption) for image in pixels])

    return theirs


def frost_of_photographs(folder: Path, pixels: Pixels, severity: int, ids: Sequence[str]) -> Pixels:
    """Lay the published photographs of frost over images, as the published script does, to tell what textures do."""
    names = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
    textures = [np.asarray(Image.open(folder / "frost" / name).convert("RGB"), float) for name in names]
    share = PARAMETERS["224"]["frost"][severity - 1]
    frosted = []
    for image, name in zip(pixels, ids, strict=True):
        draws = Draws(f"photographs of frost/{severity}", 0, [name])
        texture = textures[int(draws.integers(0, 5))]
        top, left = (int(draws.integers(0, side - 224)) for side in texture.shape[:2])
        piece = texture[top : top + 224, left : left + 224]
        frosted.append((share["image_share"] * image + share["frost_share"] * piece).clip(0, 255))
    return np.uint8(frosted)


def milliseconds(generate: Callable[..., Pixels], pixels: Pixels, cell: tuple[str, int], repeats: int) -> float:
    """Time a cell: of some repeats the quickest, in milliseconds an image."""
    ids = [str(place) for place in range(len(pixels))]
    # Tables and textures that are made once are made before.
    generate(pixels[:1], *cell, ids[:1])
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        generate(pixels, *cell, ids)
        taken.append(time.perf_counter() - start)
    return min(taken) / len(pixels) * 1000


def statistics(pixels: Pixels) -> NDArray[np.float64]:
    """Describe each image: mean, standard deviation, and root mean square of differences between neighbours.

    Returns:
        Shape (3, n), in levels.
    """
    levels = pixels.astype(float)
    gradients = sum((np.diff(levels, axis=axis) ** 2).mean(axis=(1, 2, 3)) for axis in (1, 2))
    return np.stack([levels.mean(axis=(1, 2, 3)), levels.std(axis=(1, 2, 3)), np.sqrt(gradients)])


def psnr(pixels: Pixels, clean: Pixels) -> float:
    """Give the peak signal-to-noise ratio to the clean images, the mean over images, in dB."""
    squares = ((pixels.astype(float) - clean) ** 2).mean(axis=(1, 2, 3))
    return float((10 * np.log10(255**2 / squares.clip(0.01))).mean())


def through_jpeg(pixels: Pixels) -> Pixels:
    """Write and read as the published files are."""
    read = []
    for image in pixels:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=85, optimize=True)
        read.append(np.asarray(Image.open(file).convert("RGB")))
    return np.stack(read)


def are_wrong(classifier: Classifier, pixels: Pixels, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Classify, as read back from JPEG: which are wrong."""
    images = torch.from_numpy(through_jpeg(pixels)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        taken_for = torch.cat([classifier.logits(batch).argmax(1) for batch in images.split(_BATCH)])
    return taken_for.numpy() != labels


def log(words: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def speed(theirs: Callable[..., Pixels], pixels: Pixels, repeats: int) -> str:
    """Time all 75 cells, both in turn, so that whatever else the machine does hits both."""
    rows, totals = [], np.zeros(2)
    for corruption in CORRUPTIONS:
        cells = [(corruption, severity) for severity in SEVERITIES]
        # Its glass blur takes seconds.
        few = pixels[:2] if corruption == "glass_blur" else pixels
        times = np.array(
            [(milliseconds(ours, pixels, cell, repeats), milliseconds(theirs, few, cell, repeats)) for cell in cells]
        )
        log(f"{corruption}: {times.mean(axis=0).round(2)} ms an image")
        mine, other = times.mean(axis=0)
        rows.append([corruption, f"{mine:.2f}", f"{other:.2f}", f"{other / mine:.1f}"])
        totals += times.sum(axis=0)
        if corruption == "glass_blur":
            glass = times.sum(axis=0)
    for name, (mine, other) in (("**all 75 cells**", totals), ("75 cells but glass blur's 5", totals - glass)):
        rows.append([name, f"{mine:.0f}", f"{other:.0f}", f"**{other / mine:.1f}**"])
    return table(["ms an image (rows: mean of 5 severities)", "here", "imagecorruptions", "ratio"], rows)


def determinism(theirs: Callable[..., Pixels], pixels: Pixels) -> str:
    """Generate twice, and in another order, and say where images come out the same."""
    few, ids = pixels[:3], ["a", "b", "c"]
    rows = []
    for name, generate in (("here", ours), ("imagecorruptions, numpy's seed set before", theirs)):
        changed: tuple[list[str], list[str]] = ([], [])
        for corruption in CORRUPTIONS:
            first = generate(few, corruption, 1, ids)
            if not np.array_equal(first, generate(few, corruption, 1, ids)):
                changed[0].append(corruption)
            if not np.array_equal(first[::-1], generate(few[::-1].copy(), corruption, 1, ids[::-1])):
                changed[1].append(corruption)
        rows.append([name, *(", ".join(names) or "none" for names in changed)])
    return table(["corruptions that come out other", "when generated again", "in another order"], rows)


def likeness(
    generators: dict[str, Callable[[Pixels, int, Sequence[str]], Pixels]],
    theirs: Callable[..., Pixels],
    pixels: Pixels,
    ids: Sequence[str],
    labels: NDArray[np.int64],
    classifiers: dict[str, Classifier],
) -> list[str]:
    """Compare statistics and errors, corruption by corruption."""
    looks, errors = [], []
    clean = {name: are_wrong(classifier, pixels, labels) for name, classifier in classifiers.items()}
    for row, generate in generators.items():
        corruption = row.partition(" ")[0]
        measures = []
        wrong: dict[str, list[NDArray[np.float64]]] = {name: [] for name in classifiers}
        for severity in SEVERITIES:
            mine, other = generate(pixels, severity, ids), theirs(pixels, corruption, severity, ids)
            differences = statistics(mine) - statistics(other)
            distances = np.abs(differences).mean(axis=1)
            measures.append([*differences.mean(axis=1), *distances, psnr(mine, pixels), psnr(other, pixels)])
            for name, classifier in classifiers.items():
                first = are_wrong(classifier, mine, labels)
                second = first if np.array_equal(mine, other) else are_wrong(classifier, other, labels)
                wrong[name].append(np.stack([first, second]).astype(float))
        means = np.mean(measures, axis=0)
        pairs = zip(means[:3], means[3:6], strict=True)
        looks.append([row, *[f"{shift:+.2f} ({distance:.2f})" for shift, distance in pairs]])
        looks[-1] += [f"{ratio:.2f}" for ratio in means[6:]]
        errors.append([row])
        for name in classifiers:
            # Over images first: the severities of one image are no independent samples.
            by_image = np.mean(wrong[name], axis=0)
            difference = by_image[0] - by_image[1]
            halfwidth = 1.96 * difference.std(ddof=1) / np.sqrt(len(difference))
            errors[-1] += [f"{100 * by_image[0].mean():.1f}", f"{100 * by_image[1].mean():.1f}"]
            errors[-1] += [f"{100 * difference.mean():+.1f} ± {100 * halfwidth:.1f}"]
        log(f"{' | '.join(looks[-1])} || {' | '.join(errors[-1][1:])}")
    head = ["corruption", "mean", "standard deviation", "gradient", "PSNR here", "PSNR imagecorruptions"]
    tables = [table(head, looks)]
    if classifiers:
        head = ["top-1 error in %"]
        for name, wrong_when_clean in clean.items():
            head += [f"{name} (clean {100 * wrong_when_clean.mean():.1f}), here", "imagecorruptions", "difference"]
        tables.append(table(head, errors))
    return tables


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("ROBUSTNESS_DATA"), help="root with imagenet/val")
    parser.add_argument("--classifier", action="append", default=[], metavar="NAME=SPEC", help="may be repeated")
    parser.add_argument("--images", type=int, default=100, help="for likeness and errors; 0: speed and order only")
    parser.add_argument("--timed", type=int, default=16, help="images that are timed; 0: no timing")
    parser.add_argument("--repeats", type=int, default=2, help="of each timing; the quickest counts")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.data is None:
        parser.error("no photographs: give --data, or set ROBUSTNESS_DATA")
    import cv2

    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    warnings.simplefilter("ignore")
    package, folder = import_imagecorruptions()
    theirs = theirs_by(package)
    pixels, ids, labels = read_photographs(Path(options.data), max(options.images, options.timed, 3))
    if options.timed:
        print(speed(theirs, pixels[: options.timed], options.repeats), flush=True)
        print(determinism(theirs, pixels), flush=True)
    if options.images:
        pairs = (text.partition("=") for text in options.classifier)
        classifiers = {name: load(spec) for name, _, spec in pairs}
        generators = {
            name: lambda images, severity, names, name=name: ours(images, name, severity, names) for name in CORRUPTIONS
        }
        generators["frost (published photographs)"] = lambda *given: frost_of_photographs(folder, *given)
        count = options.images
        for each in likeness(generators, theirs, pixels[:count], ids[:count], labels[:count], classifiers):
            print(each, flush=True)


if __name__ == "__main__":
    main()
