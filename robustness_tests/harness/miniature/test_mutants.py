"""The suite can fail: each mutant breaks one thing on purpose, and claims or pins of the miniature say so.

A mutant's store is new, so that what it breaks is measured broken; the pictures are the sound suite's. Claims are
asked through their own test functions, and what they say unbroken is seen first.
"""

import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from data_fixtures.miniature import study as of_miniature
from data_fixtures.miniature.benchmarks import Supply
from data_fixtures.miniature.study import SUBJECTS, miniature, spec
from harness.benchmarks import batches, imagenet, images
from harness.classifiers.spec import parse_spec
from harness.engines import measuring
from harness.engines.settings import Settings
from harness.errors import HarnessError
from harness.metrics import corruption, perturbation
from harness.records.store import RecordStore
from harness.scores import classification
from harness.studies import quantities as of_paper
from harness.studies.live import LiveStudy
from harness.studies.quantities import transfer_accuracy, whitebox_accuracy
from harness.verdicts.rules import Verdict

pytestmark = pytest.mark.usefixtures("one_thread")

NARROWEST, WIDEST = SUBJECTS[0], SUBJECTS[-1]
TEN_STEPS, FIFTY_STEPS = whitebox_accuracy(0.06, 10), whitebox_accuracy(0.06, 50)
STANDARD = whitebox_accuracy(0.06, 50, "standard")


def claim(module, function, **parameters):
    """Give a claim's own test function, with its parameters; it is given a study and a function for its verdict."""
    return getattr(importlib.import_module(f"robustness_tests.{module}"), function), parameters


TABLE1, TABLE2, TABLE3, TABLE4 = (
    "test_table1_imagenet_c_and_p",
    "test_table2_adversarial",
    "test_table3_shape_bias",
    "test_table4_imagenet_a",
)
TRUST = "test_attack_trust"

# By name, what is asked: a claim's test, or the pins of a classifier's figures.
PROBES = {
    "C1 mce": claim(TABLE1, "test_subject_is_more_robust_than_the_baseline", quantity=of_paper.MCE),
    "C5 mce": claim(TABLE1, "test_corruption_error_is_normalised_by_alexnet_then_averaged", classifier="baseline"),
    "C6": claim(TABLE2, "test_subject_beats_the_baseline_under_transferred_attack", quantity=transfer_accuracy(0.06)),
    "C10": claim(TABLE2, "test_fifty_steps_leave_the_subject_nothing", quantity=FIFTY_STEPS),
    "C10 standard": claim(TABLE2, "test_fifty_steps_leave_the_subject_nothing", quantity=STANDARD),
    "C13": claim(TABLE3, "test_subject_has_a_higher_shape_bias_than_the_baseline"),
    "C15 top1": claim(TABLE4, "test_subject_beats_the_baseline", quantity=of_paper.IMAGENET_A_TOP1),
    "C18": claim(TABLE4, "test_the_baseline_falls_far_from_imagenet_to_imagenet_a"),
    "C19": claim(
        "test_figure4_cue_conflict_top5",
        "test_the_top5_match_textures_more_often_than_shapes",
        pair=(of_paper.TEXTURE_IN_TOP5, of_paper.SHAPE_IN_TOP5),
    ),
    **{
        f"{name} {form}": claim(
            TRUST, function, classifier="baseline", quantity=of_paper.of_attack(attack, score, score)
        )
        for name, function, score in (
            ("T1", "test_perturbations_keep_to_eps", "beyond_eps"),
            ("T2 budget", "test_perturbations_use_their_budget", "unused_eps"),
            ("T2 start", "test_steps_lead_away_from_the_start", "unmoved"),
            ("T3", "test_hardly_a_run_goes_astray", "astray"),
        )
        for form, attack in (("published", FIFTY_STEPS.attack),)
    },
    "pin top1": of_paper.IMAGENET_TOP1,
    "pin mce": of_paper.MCE,
    "pin mfr": of_paper.MFR,
    "pin mt5d": of_paper.MT5D,
    "pin shape_bias": of_paper.SHAPE_BIAS,
    "pin imagenet_a": of_paper.IMAGENET_A_TOP1,
    "pin rms_ce": of_paper.RMS_CE,
    "pin aurra": of_paper.AURRA,
    "pin 10 steps": TEN_STEPS,
    "pin transfer": transfer_accuracy(0.06),
}


@dataclass(frozen=True)
class World:
    """The parts of the study that a mutant may break.

    Attributes:
        records: The folder of a new store, which has the sound suite's pictures in it.
        monkeypatch: Undone after the mutant.
    """

    records: Path
    monkeypatch: pytest.MonkeyPatch

    def patch(self, owner, name, make):
        """Replace something by what is made from it."""
        self.monkeypatch.setattr(owner, name, make(getattr(owner, name)))

    def study(self, *, baseline="baseline", subjects=SUBJECTS, altered=lambda spec: spec, normaliser=None):
        shipped = miniature()
        laboratory = shipped.laboratory(self.records, Settings(), {})
        if normaliser:
            laboratory.normaliser = normaliser
        roles = {row: altered(player) for row, player in shipped.cast.roles.items()}
        specs = [altered(spec(name)) for name in subjects]
        return LiveStudy(
            "miniature", altered(spec(baseline)), specs, laboratory, alpha=1e-3, attacks=shipped.attacks, roles=roles
        )


def respelled(**changes):
    """Change a spec's preprocessing."""

    def alter(found):
        body, _, query = found.text.partition("?")
        keys = dict(pair.split("=") for pair in query.split("&"))
        return parse_spec(f"{body}?{'&'.join(f'{key}={value}' for key, value in {**keys, **changes}.items() if value)}")

    return alter


def swapped(world):
    return world.study(baseline=WIDEST, subjects=("baseline",))


def unnormalised(world):
    return world.study(altered=respelled(mean="0,0,0", std="1,1,1"))


def resized(world):
    def transform(original):
        return lambda self, *, side: original(replace(self, resize=36), side=None)

    world.patch(images.Fitting, "transform", transform)
    return world.study()


def bgr(world):
    def reader(original):
        def broken(path):
            from PIL import Image

            image, facts = original(path)
            return Image.merge("RGB", image.split()[::-1]), facts

        return broken

    world.patch(batches, "read_image", reader)
    return world.study()


def labels_shifted(world):
    def shift(original):
        return lambda paths: np.roll(np.unique(original(paths)), -1)[
            np.searchsorted(np.unique(original(paths)), original(paths))
        ]

    world.patch(imagenet, "class_labels", shift)
    return world.study()


def normalised_by_another(world):
    return world.study(normaliser=spec("surrogate"))


def half_eps(world):
    from harness.protocols.pgd import SteppedPGD

    def walk(original):
        return lambda self, *arguments, epsilon: original(self, *arguments, epsilon=epsilon / 2)

    world.patch(SteppedPGD, "walk", walk)
    return world.study()


def step_undone(world):
    from harness.protocols.pgd import SteppedPGD

    def normalize(original):
        return lambda self, gradient, **how: 0 * original(self, gradient, **how)

    world.patch(SteppedPGD, "normalize", normalize)
    return world.study()


def uphill(world):
    from harness.protocols import pgd

    def direction(original):
        def broken(criterion):
            sign, classes = original(criterion)
            return -sign, classes

        return broken

    world.patch(pgd, "_direction", direction)
    return world.study()


def unprojected(world):
    from harness.protocols.pgd import SteppedPGD

    world.patch(SteppedPGD, "project", lambda original: lambda self, x, x0, epsilon: x)
    return world.study()


def train_mode(world):
    from harness.classifiers.classifier import Classifier

    def freeze(original):
        def broken(*arguments):
            classifier = original(*arguments)
            classifier.module.train()
            return classifier

        return broken

    world.patch(Classifier, "freeze", freeze)
    return world.study()


def cell_missing(world):
    (root,) = (world.records / "miniature").iterdir()
    whole = root.resolve()
    root.unlink()
    shutil.copytree(whole, root)
    shutil.rmtree(root / "imagenet-c" / "fog" / "3")
    world.patch(Supply, "__call__", lambda original: lambda self, benchmark, wait=True: "")
    return world.study()


def other_records(world):
    """Put a subject's records where the baseline's belong."""
    study = world.study()
    study.figure(of_paper.SHAPE_BIAS, study.subjects[-1])
    store = RecordStore(world.records)
    (folder,) = (path for path in store.runs() if path.parent.name == "cue-conflict")
    found = measuring.run_key(
        study._laboratory.dataset("cue-conflict"), "cue-conflict", spec("baseline"), study._laboratory.settings
    )
    shutil.copytree(folder, world.records / found.folder)
    (world.records / found.folder / "run.json").unlink()
    return world.study()


def four_severities(world):
    world.patch(corruption, "mean_over_severities", lambda original: lambda errors: {
        name: float(np.mean([error for (each, severity), error in errors.items() if each == name and severity < 5]))
        for name, _ in errors
    })  # fmt: skip
    return world.study()


def second_severity_twice(world):
    """Count severity 2 for severity 1 too, which moves mCE by a point at most."""
    world.patch(corruption, "mean_over_severities", lambda original: lambda errors: {
        name: float(np.mean([errors[name, max(severity, 2)] for severity in range(1, 6)])) for name, _ in errors
    })  # fmt: skip
    return world.study()


def undivided(world):
    world.patch(corruption, "ratios", lambda original: lambda values, by, what: dict(values))
    return world.study()


def noise_like_motion(world):
    world.patch(perturbation, "is_noise", lambda original: lambda name: False)
    return world.study()


def cues_swapped(world):
    from harness.benchmarks import cue_conflict

    world.patch(cue_conflict, "_categories", lambda original: lambda *arguments: original(*arguments)[::-1])
    return world.study()


def overconfident(world):
    def boil_down(original):
        def broken(benchmark, columns):
            if "own_confidence" in columns:
                columns = {**columns, "own_confidence": columns["own_confidence"] ** 0.5}
            return original(benchmark, columns)

        return broken

    world.patch(classification, "boil_down", boil_down)
    return world.study()


def scored_on_the_surrogate(world):
    from harness.protocols.transfer import Transfer

    def initial(original):
        return lambda self, surrogate, scored, *rest, **how: original(
            self, surrogate, [surrogate for _ in scored], *rest, **how
        )

    world.patch(Transfer, "__init__", initial)
    return world.study()


def towards_the_label(world):
    from harness.protocols import attacker

    world.patch(attacker, "wrong_class", lambda original: lambda seed, name, label, classes: label)
    return world.study()


def unselected(world):
    """Take hard pictures as they come, and not those that an ordinary classifier gets wrong."""
    (root,) = (world.records / "miniature").iterdir()
    whole = root.resolve()
    root.unlink()
    root.mkdir()
    for entry in whole.iterdir():
        if entry.is_dir() and entry.name != "imagenet-a":
            (root / entry.name).symlink_to(entry)
    from data_fixtures.miniature import benchmarks

    world.patch(benchmarks, "select", lambda original: lambda labels, probabilities, count: np.arange(count))
    return world.study()


@dataclass(frozen=True)
class Mutant:
    """Something broken.

    Attributes:
        make: Breaks it, and gives the study.
        asked: The probes that see it.
    """

    make: Callable[[World], LiveStudy]
    asked: tuple[str, ...]


MUTANTS = {
    "baseline and subject swapped": Mutant(swapped, ("C1 mce", "C13", "C15 top1")),
    "normalisation dropped": Mutant(unnormalised, ("pin top1", "pin shape_bias")),
    "blue for red": Mutant(bgr, ("pin top1", "pin shape_bias")),
    "labels shifted by one": Mutant(labels_shifted, ("pin top1", "C18")),
    "a resize added": Mutant(resized, ("pin top1", "pin shape_bias")),
    "another normaliser": Mutant(normalised_by_another, ("pin mce", "pin mfr", "pin mt5d")),
    "eps halved": Mutant(half_eps, ("T2 budget published", "C10", "pin 10 steps")),
    "steps undone": Mutant(step_undone, ("T2 start published", "C10")),
    "steps the wrong way": Mutant(uphill, ("T3 published", "C10")),
    "box left": Mutant(unprojected, ("T1 published",)),
    "train mode": Mutant(train_mode, ("pin imagenet_a",)),
    "a cell of ImageNet-C missing": Mutant(cell_missing, ("C1 mce", "C5 mce")),
    "records of another checkpoint": Mutant(other_records, ("C13", "pin shape_bias")),
    "four severities of five": Mutant(four_severities, ("pin mce",)),
    "severity 2 for severity 1": Mutant(second_severity_twice, ("pin mce",)),
    "mCE not divided by AlexNet's": Mutant(undivided, ("C5 mce", "pin mce")),
    "noise compared frame by frame": Mutant(noise_like_motion, ("pin mfr",)),
    "shape for texture": Mutant(cues_swapped, ("C13", "C19", "pin shape_bias")),
    "confidence too high": Mutant(overconfident, ("pin rms_ce",)),
    "transfer scored on the surrogate": Mutant(scored_on_the_surrogate, ("C6", "pin transfer")),
    "targets that are labels": Mutant(towards_the_label, ("pin 10 steps",)),
    "hard pictures not selected": Mutant(unselected, ("pin imagenet_a",)),
}
"""By name, what is broken, and by which claims and pins it is caught: by each of them."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Draw the pictures of the pinned seed once, and measure what all probes say of the sound suite."""
    records = tmp_path_factory.mktemp("sound")
    shipped = miniature()
    laboratory = shipped.laboratory(records, Settings(), {})
    for benchmark in ("imagenet", "imagenet-c", "imagenet-p", "imagenet-a", "cue-conflict"):
        laboratory.dataset(benchmark)
    return records


@pytest.fixture
def world(pictures, tmp_path, monkeypatch):
    (tmp_path / "miniature").mkdir()
    (root,) = (pictures / "miniature").iterdir()
    (tmp_path / "miniature" / root.name).symlink_to(root)
    return World(tmp_path, monkeypatch)


def pins():
    """Read the baseline's pins, by figure."""
    folder = Path(of_miniature.__file__).parents[2] / "snapshots" / "test_pinned_figures"
    label = spec("baseline").label
    found = {}
    for path in folder.glob("*.json"):
        if f"[miniature-{label}-" in path.name:
            found |= json.loads(path.read_text(encoding="utf-8"))["figures"]
    return found


def catches(probe, study):
    """Tell whether a probe says that something is wrong: fails, an error, or a figure beside its pin."""
    asked = PROBES[probe]
    try:
        if isinstance(asked, of_paper.Quantity):
            pin = pins()[" ".join(filter(None, (asked.metric, asked.condition)))]
            value = study.figure(asked, study.baseline).estimate.value
            return abs(value - pin["value"]) > pin["tolerance"]
        function, parameters = asked
        verdicts = []
        taken = function.__code__.co_varnames[: function.__code__.co_argcount]
        players = {"subject": study.subjects[-1], "baseline": study.baseline}
        parameters = {**{name: who for name, who in players.items() if name in taken}, **parameters}
        if parameters.get("classifier") == "baseline":
            parameters = {**parameters, "classifier": study.baseline}
        function(study=study, verdict=lambda judgement: verdicts.append(judgement) or judgement, **parameters)
    except (AssertionError, HarnessError):
        return True
    return any(judgement.verdict is Verdict.UNDECIDED for judgement in verdicts)


@pytest.fixture(scope="module")
def sound(pictures):
    """Tell of the sound suite which probes catch something, each asked once."""
    study = World(pictures, pytest.MonkeyPatch()).study()
    known = {}

    def tell(probe):
        if probe not in known:
            known[probe] = catches(probe, study)
        return known[probe]

    return tell


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_is_caught(name, world, sound):
    mutant = MUTANTS[name]
    assert [probe for probe in mutant.asked if sound(probe)] == []
    study = mutant.make(world)
    assert [probe for probe in mutant.asked if not catches(probe, study)] == []
