"""The white-box protocols, against a plain loop over one image at a time, and against linear algebra."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.errors import NoGradient, NonFinite
from harness.protocols.attacks import Attack
from harness.protocols.draws import wrong_class

pytestmark = pytest.mark.usefixtures("one_thread")

PUBLISHED = {
    "slow": Attack("published", eps=0.12, step_size=0.02, ladder=(2, 7, 12, 20)),
    "fast": Attack("published", eps=0.3, step_size=0.05, ladder=(1, 2, 3, 10)),
    "published_relative": Attack("published", eps=0.15, step_size=0.02, ladder=(4, 8), reading="relative"),
}
STANDARD = {
    "small_eps": Attack("standard", eps=0.02, step_size=0.004, ladder=(1, 2, 4, 8), restarts=2),
    "three_starts": Attack("standard", eps=0.01, step_size=0.004, ladder=(2, 5), restarts=3),
    # Steps so small that every run ends at a distance of its own.
    "tiny_steps": Attack("standard", eps=0.03, step_size=1e-5, ladder=(1, 2)),
    "standard_relative": Attack("standard", eps=0.02, step_size=0.004, ladder=(1, 5), restarts=1, reading="relative"),
}
# Steps of twice eps, from corner to corner of the box: some images are wrong at one iterate and right at a later one.
FOLLOWED = Attack("standard", eps=0.005, step_size=0.01, ladder=(1, 2, 3, 5, 12, 20), follow=True)


@pytest.fixture(scope="module")
def run(network, images):
    import torch

    from harness.protocols.whitebox import WhiteBox

    def run(attack, images=images, module=network, **options):
        return WhiteBox(module, attack, device=torch.device("cpu"), **options)(*images)

    return run


@pytest.fixture(scope="module")
def is_right(network, images):
    return network(images.pixels / 255).argmax(1).numpy() == images.labels


def first_step(seen, is_success):
    """Give the first iterate, from 1, at which something holds of what it is taken for; 0 for none."""
    return next((step for step, each in enumerate(seen) if step and is_success(each.predicted)), 0)


def change(image, pixels):
    return float((image - pixels / 255).abs().max())


def way(start, end):
    return float((end.image - start.image.clamp(0, 1)).abs().max())


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("attack", PUBLISHED.values(), ids=PUBLISHED)
def test_published_is_a_loop_that_stops_at_the_target_and_else_scores_the_clean_image(
    run, network, plain_pgd, images, is_right, attack, seed
):
    found = run(attack, seed=seed)
    clean = network(images.pixels / 255).argmax(1).tolist()
    assert found["clean_prediction"].tolist() == clean
    steps = set()
    for place in np.flatnonzero(is_right):
        pixels, name, label = images.pixels[place], images.names[place], int(images.labels[place])
        target = wrong_class(seed, name, label)
        seen = plain_pgd(network, pixels, name, target, attack, seed=seed)
        first = first_step(seen, lambda predicted, target=target: predicted == target)
        steps.add(first)
        last = seen[first or -1]
        assert found["target"][place] == target
        assert found["first_fooled"][place].tolist() == [first]
        assert found["ladder_prediction"][place].tolist() == [
            target if 0 < first <= rung else clean[place] for rung in attack.ladder
        ]
        assert found["loss_start"][place] == pytest.approx([seen[0].loss], rel=1e-4)
        assert found["loss_end"][place] == pytest.approx([last.loss], rel=1e-3, abs=1e-4)
        assert found["linf"][place] == pytest.approx(change(last.image, pixels), abs=1e-6)
        assert found["moved"][place] == pytest.approx([way(seen[0], last)], abs=1e-6)
        assert found["outside"][place] == 0
    assert len(steps) > 2  # else these images tell nothing
    assert 0 in steps or attack is PUBLISHED["fast"]


@pytest.mark.parametrize("attack", [*STANDARD.values(), FOLLOWED], ids=[*STANDARD, "followed"])
def test_standard_is_the_worst_iterate_of_every_loss_and_restart(run, network, plain_pgd, images, is_right, attack):
    found = run(attack)
    outcomes = set()
    for place in np.flatnonzero(is_right):
        pixels, name, label = images.pixels[place], images.names[place], int(images.labels[place])
        walks = [
            plain_pgd(network, pixels, name, label, attack, loss=pursuit.loss, restart=pursuit.restart)
            for pursuit in attack.pursuits
        ]
        first = [first_step(seen, lambda predicted, label=label: predicted != label) for seen in walks]
        outcomes.update(first)
        assert found["first_fooled"][place].tolist() == first
        for rung, steps in enumerate(attack.ladder):
            fooled_as = {seen[step].predicted for seen, step in zip(walks, first, strict=True) if 0 < step <= steps}
            assert found["ladder_prediction"][place, rung] in (fooled_as or {label})
        if attack.follow:
            followed = found["followed_prediction"][place].reshape(len(walks), len(attack.ladder))
            assert followed.tolist() == [[seen[steps].predicted for steps in attack.ladder] for seen in walks]
        last = [seen[-1 if attack.follow else step or -1] for seen, step in zip(walks, first, strict=True)]
        assert found["loss_start"][place] == pytest.approx([seen[0].loss for seen in walks], rel=1e-4, abs=1e-6)
        assert found["loss_end"][place] == pytest.approx([each.loss for each in last], rel=1e-3, abs=1e-4)
        ways = [way(seen[0], each) for seen, each in zip(walks, last, strict=True)]
        assert found["moved"][place] == pytest.approx(ways, abs=1e-6)
        largest = max(change(each.image, pixels) for each in last)
        assert found["linf"][place] == pytest.approx(largest, abs=1e-6)
    assert {0, 1} <= outcomes  # else these images tell nothing
    assert max(outcomes) > 1 or attack is STANDARD["tiny_steps"]


def test_followed_images_may_be_right_again(run, images):
    found = run(FOLLOWED)
    followed = found["followed_prediction"].reshape(24, 4, 6)
    fooled = found["first_fooled"][:, :, None]
    was_wrong = (fooled > 0) & (fooled <= np.array(FOLLOWED.ladder))
    assert ((followed == images.labels[:, None, None]) & was_wrong).any()


def test_following_changes_nothing_but_what_is_known_of_the_end(run):
    from dataclasses import replace

    followed, left = run(FOLLOWED), run(replace(FOLLOWED, follow=False))
    assert set(followed) - set(left) == {"followed_prediction"}
    for name in ("first_fooled", "ladder_prediction", "clean_prediction", "loss_start", "zero_gradient"):
        assert np.array_equal(followed[name], left[name], equal_nan=name.startswith(("loss", "zero")))


def test_of_two_classes_the_target_is_the_other(run, of_two_classes):
    images, others = of_two_classes
    assert run(PUBLISHED["fast"], images, classes=(3, 700))["target"].tolist() == others


@pytest.mark.parametrize("attack", [PUBLISHED["slow"], STANDARD["small_eps"]], ids=["published", "standard"])
def test_wrong_images_are_not_attacked(run, images, attack):
    found = run(attack)
    wrong = found["clean_prediction"] != images.labels
    assert np.flatnonzero(wrong).tolist() == [0, 6, 12, 18]
    assert (found["first_fooled"][wrong] == -1).all()
    assert (found["first_fooled"][~wrong] >= 0).all()
    assert (found["ladder_prediction"][wrong] == found["clean_prediction"][wrong][:, None]).all()
    for name in ("loss_start", "loss_end", "zero_gradient"):
        assert np.isnan(found[name][wrong]).all()
        assert np.isfinite(found[name][~wrong]).all()
    assert (found["linf"][wrong] == 0).all()


def test_a_batch_that_is_all_wrong_is_only_classified(network, images, run):
    import torch

    calls = []
    counted = torch.nn.Sequential(network)
    counted.register_forward_hook(lambda *_: calls.append(1))
    wrong = images._replace(labels=(images.labels + 2) % 1000)
    found = run(STANDARD["small_eps"], wrong, counted.eval())
    assert (found["first_fooled"] == -1).all()
    assert len(calls) == 1


@pytest.mark.parametrize(
    "attack", [PUBLISHED["slow"], STANDARD["small_eps"], FOLLOWED], ids=["published", "standard", "followed"]
)
def test_an_images_records_do_not_depend_on_its_batch(run, images, attack):
    whole = run(attack)
    shuffled = np.random.RandomState(1).permutation(24).tolist()
    for places in (shuffled, [5], [20, 3], list(range(12, 24))):
        part = run(attack, images.only(places))
        for name, values in part.items():
            if values.dtype.kind == "i":
                assert np.array_equal(values, whole[name][places]), name
            else:
                assert np.allclose(values, whole[name][places], atol=1e-6, equal_nan=True), name


def test_columns_are_as_the_schema_says(run, images):
    from harness.records.schema import ATTACK_COLUMNS

    published, standard, followed = run(PUBLISHED["slow"]), run(STANDARD["small_eps"]), run(FOLLOWED)
    assert set(followed) == {"label", *ATTACK_COLUMNS} - {"target"}
    assert set(standard) == set(followed) - {"followed_prediction"}
    assert set(published) == set(standard) | {"target"}
    assert standard["first_fooled"].shape == standard["loss_end"].shape == (24, 4)
    assert published["first_fooled"].shape == (24, 1)
    assert published["ladder_prediction"].shape == standard["ladder_prediction"].shape == (24, 4)
    assert followed["followed_prediction"].shape == (24, 4 * 6)
    assert published["label"].tolist() == images.labels.tolist()
    for columns in (published, standard, followed):
        assert {str(values.dtype) for values in columns.values()} == {"int16", "float32"}


@pytest.mark.parametrize("attack", [*PUBLISHED.values(), *STANDARD.values()], ids=[*PUBLISHED, *STANDARD])
def test_images_stay_in_the_box_and_in_bounds(run, attack):
    found = run(attack)
    assert found["linf"].max() <= attack.eps + 1e-6
    assert found["linf"].max() > 0.9 * attack.eps
    assert (found["outside"] == 0).all()


@pytest.fixture(scope="module")
def linear():
    """A linear classifier of two classes, and 60 images well inside the bounds that it is right about."""
    import torch

    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(2, 192, generator=generator) / 10
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2)).eval()
    module.load_state_dict({"1.weight": weights, "1.bias": -weights.sum(1) / 2})
    pixels = torch.randint(90, 166, (60, 3, 8, 8), generator=generator, dtype=torch.uint8)
    logits = module.requires_grad_(False)(pixels / 255)
    labels = logits.argmax(1).numpy().astype(np.int16)
    lead = (logits.amax(1) - logits.amin(1)).numpy()
    # By Hölder's inequality the least change, in L-inf, that makes the two logits meet.
    distances = lead / float((weights[0] - weights[1]).abs().sum())
    return SimpleNamespace(
        module=module, images=(pixels, labels, [f"{place}.png" for place in range(60)]), distances=distances
    )


@pytest.mark.parametrize("fooled_images", [10, 30, 45])
def test_a_linear_classifier_is_fooled_where_its_margin_is_below_eps_times_the_l1_norm(run, linear, fooled_images):
    eps = float(np.sort(linear.distances)[fooled_images - 1 : fooled_images + 1].mean())
    assert np.abs(linear.distances / eps - 1).min() > 1e-3
    found = run(Attack("standard", eps=eps, step_size=eps / 4, ladder=(12,)), linear.images, linear.module)
    fooled = found["first_fooled"] > 0
    assert np.array_equal(fooled, np.tile((linear.distances < eps)[:, None], 4))


def test_a_linear_classifiers_gradient_is_nowhere_zero_and_its_loss_only_rises(run, linear):
    found = run(Attack("standard", eps=0.01, step_size=0.002, ladder=(12,)), linear.images, linear.module)
    assert (found["zero_gradient"] == 0).all()
    assert (found["loss_end"] > found["loss_start"]).all()


def test_large_logits_blind_cross_entropy_and_not_the_margin_loss(run, images, is_right):
    from data_fixtures.networks import SmallNetwork

    attack = Attack("standard", eps=0.06, step_size=0.01, ladder=(20,))
    plain = run(attack)
    found = run(attack, module=SmallNetwork(scale=1000.0))
    by_cross_entropy = (found["first_fooled"][is_right, :2] > 0).any(1)
    by_margin = (found["first_fooled"][is_right, 2:] > 0).any(1)
    assert (plain["first_fooled"][is_right, :2] > 0).any(1).mean() == 1
    assert by_cross_entropy.mean() < 0.5
    assert by_margin.mean() == 1
    blind = (found["zero_gradient"][is_right, :2] == 1).all(1)
    assert blind.mean() > 0.4
    assert not by_cross_entropy[blind].any()
    assert (found["zero_gradient"][is_right, 2:] < 0.5).all()
    assert np.array_equal(found["first_fooled"][:, 2:], plain["first_fooled"][:, 2:])


@pytest.mark.parametrize("what", ["logits", "gradients"])
def test_a_number_that_is_none_is_blamed_on_its_image(run, network, images, what):
    import torch

    marked = 13

    class Breaks(torch.nn.Module):
        """Is right about clean images; breaks on the marked one as soon as it is attacked."""

        def forward(self, images):
            logits = network(images)
            is_marked = images.mean((1, 2, 3)) > 0.7
            if what == "logits":
                is_clean = ((images * 255).round() / 255 - images).abs().amax((1, 2, 3)) < 1e-6
                return torch.where((is_marked & ~is_clean)[:, None], torch.nan, logits)
            nothing = torch.zeros(len(images))
            nothing[is_marked] = (images[is_marked] - images[is_marked].detach()).sqrt().sum((1, 2, 3))
            return logits + nothing[:, None]

    pixels = images.pixels.clone()
    pixels[marked] = 255 - pixels[marked] // 8
    labels = images.labels.copy()
    labels[marked] = int(network(pixels[marked : marked + 1] / 255).argmax())
    with pytest.raises(NonFinite, match=f"NaN or infinite {what} for the image at place 13 of the batch") as caught:
        run(STANDARD["small_eps"], images._replace(pixels=pixels, labels=labels), Breaks().eval())
    assert (caught.value.what, caught.value.place) == (what, marked)


def test_logits_without_a_gradient_are_refused(run, network, images):
    import torch

    class Blind(torch.nn.Module):
        def forward(self, images):
            return network(images.detach())

    with pytest.raises(NoGradient, match="can tell whether it is robust"):
        run(STANDARD["small_eps"], images, Blind().eval())
