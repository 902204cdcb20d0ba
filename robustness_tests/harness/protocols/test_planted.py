"""The planted classifier: its worst case is what it is said to be, attacks find it, and broken attacks do not."""

import numpy as np
import pytest

from harness.protocols.attacks import Attack

pytestmark = pytest.mark.usefixtures("one_thread")

PUBLISHED, STANDARD = Attack("published"), Attack("standard")
TRANSFERRED = [Attack(form, surrogate="alexnet") for form in ("published", "standard")]
ALL = [PUBLISHED, STANDARD, *TRANSFERRED]
EVERY_FORM = pytest.mark.parametrize("attack", ALL, ids=lambda attack: attack.name)


@pytest.fixture
def missed():
    """Give a function that runs an attack on the planted classifier, and names the images whose outcome it misses."""
    import torch

    from harness.protocols.planted import attack_planted

    def missed(attack, **options):
        outcomes = attack_planted(attack, device=torch.device("cpu"), **options)
        return np.flatnonzero(outcomes.fooled != outcomes.can_be_fooled)

    return missed


def test_images_are_right_when_clean_and_half_can_be_fooled_loud_ones_among_them():
    from harness.protocols.planted import plant

    module, pixels, labels, names, can_be_fooled = plant(STANDARD)
    logits = module(pixels / 255)
    assert np.array_equal(logits.argmax(1).numpy(), labels)
    assert (len(set(names)), len(set(labels.tolist())), can_be_fooled.sum()) == (32, 32, 16)
    second, best = logits.sort(dim=1).values[:, -2:].T
    is_loud = (best - second > 100).numpy()
    assert (is_loud & can_be_fooled).sum() == (is_loud & ~can_be_fooled).sum() == 8


@pytest.mark.parametrize("eps", [0.01, 0.06, 0.3])
def test_the_worst_case_is_the_corner_of_the_box_that_its_signs_point_to(eps):
    from harness.protocols.planted import plant

    module, pixels, labels, _, can_be_fooled = plant(Attack("standard", eps=eps, step_size=eps / 10))
    images = pixels / 255
    corner = images + eps * module.halves.sum(dim=1).sign()
    assert 0 <= corner.min() < corner.max() <= 1
    assert np.array_equal(module(corner).argmax(1).numpy() != labels, can_be_fooled)
    # One half alone, nine tenths of eps, or any other way, is not enough.
    for half in (0, 1):
        assert np.array_equal(module(images + eps * module.halves[:, half].sign()).argmax(1).numpy(), labels)
    assert np.array_equal(module(images + 0.9 * (corner - images)).argmax(1).numpy(), labels)
    assert np.array_equal(module(images - (corner - images)).argmax(1).numpy(), labels)


@EVERY_FORM
def test_attacks_find_what_there_is_to_find(missed, attack):
    from dataclasses import replace

    assert missed(attack).size == 0
    assert missed(attack, seed=3, precision="bf16").size == 0
    assert missed(replace(attack, eps=0.03, step_size=1 / 255, ladder=(20, 40))).size == 0


def slow(pgd, patched):
    init = pgd.SteppedPGD.__init__

    def slower(self, *, step_size, **options):
        init(self, step_size=step_size / 8, **options)

    patched.setattr(pgd.SteppedPGD, "__init__", slower)


def short(pgd, patched):
    def normalize(self, gradients, *, x, bounds):
        self.taken = getattr(self, "taken", 0) + 1
        return gradients.sign() * (self.taken <= 20)

    patched.setattr(pgd.SteppedPGD, "normalize", normalize)


def stale(pgd, patched):
    def normalize(self, gradients, *, x, bounds):
        if getattr(self, "first", gradients[:0]).shape != gradients.shape:
            self.first = gradients.sign()
        return self.first

    patched.setattr(pgd.SteppedPGD, "normalize", normalize)


def steps(change):
    """Break the direction of a step: from the gradient's signs to others."""

    def break_it(pgd, patched):
        import eagerpy as ep

        def normalize(self, gradients, *, x, bounds):
            return ep.astensor(change(gradients.raw.sign()))

        patched.setattr(pgd.SteppedPGD, "normalize", normalize)

    return break_it


def one_channel(signs):
    signs = signs.clone()
    signs[:, 1:] = 0
    return signs


def every_fourth_stays(signs):
    signs = signs.clone()
    signs[::4] = 0
    return signs


def no_margin(pgd, patched):
    patched.setitem(pgd.LOSSES, "margin", pgd.LOSSES["cross_entropy"])


def other_labels(pgd, patched):
    get_loss_fn = pgd.SteppedPGD.get_loss_fn
    patched.setattr(
        pgd.SteppedPGD, "get_loss_fn", lambda self, model, labels: get_loss_fn(self, model, (labels + 1) % 1000)
    )


def box_of(factor):
    def break_it(pgd, patched):
        project = pgd.SteppedPGD.project
        patched.setattr(pgd.SteppedPGD, "project", lambda self, x, x0, eps: project(self, x, x0, factor * eps))

    return break_it


BREAKS = {
    "slow": slow,
    "short": short,
    "stale": stale,
    "noise": steps(lambda signs: signs[..., np.random.RandomState(0).permutation(signs.shape[-1])]),
    "reversed": steps(lambda signs: -signs),
    "gradients-of-others": steps(lambda signs: signs.roll(1, 0)),
    "mean-gradient": steps(lambda signs: signs.mean(0, keepdim=True).sign().expand_as(signs)),
    "one-channel": steps(one_channel),
    "some-stay": steps(every_fourth_stays),
    "other-labels": other_labels,
    "smaller-box": box_of(0.9),
    "larger-box": box_of(1.1),
}


@EVERY_FORM
@pytest.mark.parametrize("break_it", BREAKS.values(), ids=BREAKS)
def test_broken_attacks_miss_it(missed, monkeypatch, attack, break_it):
    from harness.protocols import pgd

    break_it(pgd, monkeypatch)
    assert missed(attack).size > 0


@pytest.mark.parametrize("attack", [STANDARD, TRANSFERRED[1]], ids=lambda attack: attack.name)
def test_an_attack_without_margin_loss_misses_loud_images(missed, monkeypatch, attack):
    from harness.protocols import pgd

    no_margin(pgd, monkeypatch)
    assert missed(attack).tolist() == [2, 6, 10, 14, 18, 22, 26, 30]


@pytest.mark.parametrize(
    "attack",
    [
        Attack(eps=0.4, step_size=0.1),
        Attack(ladder=(10,)),
        Attack(reading="relative"),
    ],
    ids=["eps", "steps", "reading"],
)
def test_attacks_that_could_not_be_told_from_broken_ones_are_refused(missed, attack):
    with pytest.raises(ValueError, match="needs eps below 0.4 and steps that cross the box twice: pgd-standard"):
        missed(attack)
