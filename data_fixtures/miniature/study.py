"""The study `miniature`: who plays which part of the paper's experiment, on which pictures, and what is known of it."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from data_fixtures.miniature.benchmarks import FORM, PINNED_SEED, Supply, world_sha256
from data_fixtures.miniature.expected import EXPECTED
from data_fixtures.miniature.make import HASHES, WEIGHTS
from harness.benchmarks.catalog import DataRoots
from harness.classifiers.disk import file_sha256
from harness.classifiers.spec import Spec, parse_spec
from harness.engines.settings import Settings
from harness.errors import CheckpointError
from harness.protocols.attacks import EPS, Attack
from harness.protocols.needs import Need
from harness.records.store import RecordStore
from harness.studies.laboratory import Laboratory
from harness.studies.live import Attacks
from harness.studies.study import BASELINE, WSL
from harness.suite.parameters import Cast
from harness.suite.shipped import Plan, Shipped

NAME = "miniature"

ARCHITECTURES = {
    "baseline": "resnext_4x8d",
    "wsl_4x8d": "resnext_4x8d",
    "wsl_4x10d": "resnext_4x10d",
    "wsl_4x12d": "resnext_4x12d",
    "wsl_4x16d": "resnext_4x16d",
    "surrogate": "plain",
    "alexnet": "alexnet",
    "adversarial": "resnext_4x12d",
    "shape": "resnext_4x8d",
}
"""By the name of its weights, the callable in `networks` that builds a classifier."""

SUBJECTS = ("wsl_4x8d", "wsl_4x10d", "wsl_4x12d", "wsl_4x16d")

ROLES = {
    BASELINE: "baseline",
    **dict(zip(WSL, SUBJECTS, strict=True)),
    "ALP (InceptionV3)": "adversarial",
    "Denoising (ResNet-152)": "adversarial",
    "ResNet-50 (Geirhos et al., 2019)": "surrogate",
    "Shape-ResNet-50 (Geirhos et al., 2019)": "shape",
}
"""By the paper's name of a classifier or a quoted row, who plays its part; previous best rows and humans: nobody."""

ATTACKED = {"published": 1000, "standard": 800}
"""Validation pictures attacked at eps 0.06: at level 1e-3, 757 are the fewest that can tell 0 % from 1 %."""
TRANSFERRED = 304
"""Validation pictures that transferred attacks are made from, and that are attacked where most are robust."""
FEW = {False: 24, True: 80}
"""And where claims need no more of them: white-box attacks at any other eps, and transferred ones."""


def spec(name: str, weights: Path = WEIGHTS) -> Spec:
    """Give the spec of a classifier by the name of its weights."""
    where = f"data_fixtures.miniature.networks:{ARCHITECTURES[name]}@{weights / name}.safetensors"
    return parse_spec(f"python:{where}?resize=32&crop=32&mean=0.5,0.5,0.5&std=0.25,0.25,0.25&penultimate=features")


def miniature(seed: int = PINNED_SEED) -> Shipped:
    """Give the study on the test pictures of a seed."""
    surrogate = spec("surrogate")
    cast = Cast(
        NAME,
        spec("baseline"),
        tuple(map(spec, SUBJECTS)),
        "quick",
        surrogate,
        spec("alexnet"),
        {row: spec(name) for row, name in ROLES.items()},
    )

    def laboratory(records: Path, settings: Settings, plan: Plan) -> Laboratory:
        check_weights()
        root = records / NAME / f"seed-{seed}-{world_sha256()[:8]}-{file_sha256(WEIGHTS / 'surrogate.safetensors')[:8]}"
        return Laboratory(
            DataRoots(root, form=FORM),
            RecordStore(records),
            replace(
                settings,
                device="cpu",
                precision="fp32",
                batch_size=400,
                workers=0,
                is_checked=True,
                keep_pixels=True,
                seed=0,
                images=None,
            ),
            plan,
            spec("alexnet").text,
            supply=Supply(root, seed, _probabilities),
            prefix=images_for,
            always_normalise=True,
        )

    return Shipped(
        cast,
        Attacks(surrogate.text, restarts=1, maximizing_steps=40),
        laboratory,
        partial(miniature, seed),
        EXPECTED,
        is_pinned=seed == PINNED_SEED,
    )


def images_for(classifier: Spec, need: Need) -> int:
    """Say of how many images of the seeded order something is asked of a classifier."""
    if isinstance(need, Attack) and classifier == spec("adversarial"):
        return TRANSFERRED
    if isinstance(need, Attack) and need.eps == EPS:
        return TRANSFERRED if need.surrogate else ATTACKED[need.form]
    if isinstance(need, Attack):
        return TRANSFERRED if need.surrogate and need.form == "published" else FEW[bool(need.surrogate)]
    return 10**9  # all there are


def check_weights() -> None:
    """See that all weights are those whose hashes are pinned.

    Raises:
        CheckpointError: One is missing or altered; names both hashes.
    """
    pinned = json.loads(HASHES.read_text(encoding="utf-8"))
    for name in ARCHITECTURES:
        path = WEIGHTS / f"{name}.safetensors"
        if not path.is_file():
            raise CheckpointError(
                f"miniature: {path} is missing; restore it, or make it: python -m data_fixtures.miniature.make {name}"
            )
        if (found := file_sha256(path)) != pinned[name]:
            raise CheckpointError(
                f"miniature: {path} was altered: its sha256 is {found}, pinned is {pinned[name]}; restore it, or make "
                f"it again: python -m data_fixtures.miniature.make {name}"
            )


def _probabilities(images: np.ndarray) -> np.ndarray:
    """Look at pictures as the ordinary classifier that natural adversarial examples are selected by: the surrogate."""
    import torch

    from data_fixtures.miniature.sets import CLASSES
    from data_fixtures.miniature.training import as_tensor
    from harness.classifiers.loading import load

    classifier = load(spec("surrogate"))
    pixels = as_tensor(images).float() / 255
    with torch.inference_mode():
        logits = torch.cat([classifier.logits(part) for part in pixels.split(256)])
    return logits[:, list(CLASSES)].softmax(dim=1).numpy()
