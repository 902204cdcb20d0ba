"""What all attacks share: images made of pixels, targets drawn for them, and every number looked at."""

import numpy as np
import pytest

from harness.errors import NonFinite
from harness.protocols.attacks import Attack, Pursuit

pytestmark = pytest.mark.usefixtures("one_thread")
FIRST = Pursuit("cross_entropy", 0)


@pytest.fixture
def attacker(network):
    import torch

    from harness.protocols.attacker import Attacker

    return lambda attack, module=network, **options: Attacker(module, attack, device=torch.device("cpu"), **options)


@pytest.fixture
def numbers():
    import torch

    return torch.tensor


def test_pixels_become_numbers_from_0_to_1(attacker, numbers):
    import torch

    pixels = numbers([0, 51, 255], dtype=torch.uint8)[:, None, None, None].expand(3, 3, 2, 2)
    victims = attacker(Attack()).victims(pixels, np.array([7, 8, 9], dtype=np.int16), ["a", "b", "c"])
    assert victims.images.dtype == torch.float32
    assert victims.images[:, 0, 0, 0].tolist() == pytest.approx([0.0, 0.2, 1.0])
    assert victims.places.tolist() == [0, 1, 2]


def test_untargeted_attacks_go_away_from_the_label_and_targeted_ones_to_a_class_drawn_for_the_image(attacker, images):
    from harness.protocols.draws import wrong_class

    assert attacker(Attack("standard")).victims(*images).classes.tolist() == images.labels.tolist()
    targets = attacker(Attack("published"), seed=3).victims(*images).classes.tolist()
    expected = [wrong_class(3, name, int(label)) for name, label in zip(images.names, images.labels, strict=True)]
    assert targets == expected


def test_of_two_classes_the_target_is_the_other(attacker, of_two_classes):
    images, others = of_two_classes
    assert attacker(Attack("published"), classes=(3, 700)).victims(*images).classes.tolist() == others


def test_chosen_victims_keep_their_names_and_places(attacker, images, numbers):
    victims = attacker(Attack()).victims(*images)
    some = victims.only(numbers([place in (2, 5, 23) for place in range(24)]))
    assert some.names == ["n/2.png", "n/5.png", "n/23.png"]
    assert some.places.tolist() == [2, 5, 23]
    assert (some.images == victims.images[[2, 5, 23]]).all()
    assert some.classes.tolist() == [images.labels[place] for place in (2, 5, 23)]
    assert victims.only(numbers([True] * 24)) is victims


@pytest.mark.parametrize(("form", "is_clipped"), [("published", False), ("standard", True)])
def test_starts_are_the_images_own_draws_and_clipped_in_the_standard_form_only(attacker, images, form, is_clipped):
    import torch

    from harness.protocols.draws import unit_start

    attack = Attack(form, eps=0.2)
    victims = attacker(attack, seed=9).victims(*images)
    sight = next(attacker(attack, seed=9).pursue(FIRST, victims))
    units = np.stack([unit_start(9, name, 0, (3, 8, 8)) for name in images.names])
    expected = images.pixels / 255 + 0.2 * torch.from_numpy(units)
    assert expected.min() < 0
    assert torch.allclose(sight.iterate.images, expected.clamp(0, 1) if is_clipped else expected, atol=1e-7)


def test_the_starts_at_two_sizes_are_one_draw_scaled(attacker, images):
    import torch

    def step(eps):
        victims = attacker(Attack("published")).victims(*images)
        start = next(attacker(Attack("published", eps=eps)).pursue(FIRST, victims)).iterate.images
        return (start - victims.images) / eps

    assert torch.allclose(step(0.1), step(0.2), atol=1e-5)


def test_eps_may_be_read_relative_to_each_images_largest_pixel(attacker, images):
    import torch

    dark = images.pixels[:3] // torch.tensor([1, 2, 8], dtype=torch.uint8)[:, None, None, None]
    attack = Attack("standard", eps=0.1, reading="relative", ladder=(20,))
    victims = attacker(attack).victims(dark, images.labels[:3], images.names[:3])
    *_, last = attacker(attack).pursue(FIRST, victims)
    changes = (last.iterate.images - victims.images).abs().amax((1, 2, 3))
    assert changes.tolist() == pytest.approx([0.1 * int(image.max()) / 255 for image in dark], abs=1e-6)


def test_what_is_met_is_the_target_or_anything_but_the_label(attacker, images, network):
    for attack in (Attack("published", eps=0.2, ladder=(12,)), Attack("standard", ladder=(3,))):
        victims = attacker(attack).victims(*images)
        for sight in attacker(attack).pursue(FIRST, victims):
            predicted = network(sight.iterate.images).argmax(1)
            assert sight.predicted.tolist() == predicted.tolist()
            assert sight.met.tolist() == ((predicted == victims.classes) == attack.targeted).tolist()
        assert sight.met.any()


def test_classifying_needs_no_gradient_and_is_checked(attacker, images, network, numbers):
    import torch

    class Broken(torch.nn.Module):
        def forward(self, images):
            logits = network(images)
            return torch.where(images.mean((1, 2, 3))[:, None] > 0.9, torch.nan, logits)

    floats = images.pixels / 255
    assert attacker(Attack()).predict(floats).tolist() == network(floats).argmax(1).tolist()
    floats[3] = 1
    with pytest.raises(NonFinite, match="NaN or infinite logits for the image at place 3 of the batch") as caught:
        attacker(Attack(), Broken().eval()).predict(floats)
    assert (caught.value.what, caught.value.place) == ("logits", 3)


def test_the_forward_pass_is_in_the_precision_that_was_asked_for(attacker, images, network):
    import torch

    seen = []

    class Watching(torch.nn.Module):
        def forward(self, images):
            seen.append((torch.is_autocast_enabled("cpu"), torch.backends.cuda.matmul.allow_tf32))
            return network(images)

    for precision in ("bf16", "tf32", "fp32"):
        attack = attacker(Attack("standard", ladder=(1,)), Watching().eval(), precision=precision)
        victims = attack.victims(*images)
        attack.predict(victims.images)
        list(attack.pursue(FIRST, victims))
    assert seen == [(True, False)] * 3 + [(False, True)] * 3 + [(False, False)] * 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_image_with_a_number_that_is_none_is_named(numbers, bad):
    from harness.protocols.attacker import require_finite

    values = numbers([[1.0, -2.0], [3.0, 4.0], [5.0, bad], [bad, 1.0]])
    require_finite("gradients", values[:2])
    with pytest.raises(NonFinite, match="gradients for the image at place 2 of the batch"):
        require_finite("gradients", values)
    with pytest.raises(NonFinite, match="place 11 of the batch"):
        require_finite("gradients", values, numbers([4, 7, 11, 12]))


def test_changes_of_pixels_by_hand(numbers):
    from harness.protocols.attacker import change, outside, zero_share

    before = numbers([0.5, 0.25, 1.0, 0.0]).reshape(2, 1, 1, 2)
    after = numbers([0.75, -0.25, 1.125, 0.0]).reshape(2, 1, 1, 2)
    assert change(after, before).tolist() == [0.5, 0.125]
    assert outside(after).tolist() == [0.25, 0.125]
    assert outside(before).tolist() == [0.0, 0.0]
    assert zero_share(numbers([0.0, 1e-30, -2.0, 0.0]).reshape(1, 1, 2, 2)).tolist() == [0.5]
