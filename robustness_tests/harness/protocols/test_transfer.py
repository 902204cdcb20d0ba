"""The transfer protocols, against a plain loop over one image, one scored classifier and one start at a time."""

from itertools import count

import numpy as np
import pytest

from harness.errors import NoGradient, NonFinite
from harness.protocols.attacks import Attack
from harness.protocols.draws import wrong_class

pytestmark = pytest.mark.usefixtures("one_thread")

PUBLISHED = Attack("published", eps=0.15, step_size=0.02, ladder=(2, 5, 12, 20), surrogate="surrogate")
STANDARD = Attack("standard", eps=0.02, step_size=0.005, ladder=(1, 2, 5, 12), surrogate="surrogate")
FORMS = pytest.mark.parametrize("attack", [PUBLISHED, STANDARD], ids=["published", "standard"])


@pytest.fixture(scope="module")
def classifiers(network):
    """The surrogate itself, a close and a distant relative."""
    from data_fixtures.networks import SmallNetwork

    return {"itself": network, "close": SmallNetwork(stray=0.1), "distant": SmallNetwork(stray=0.4)}


@pytest.fixture(scope="module")
def run(network, classifiers, images):
    import torch

    from harness.protocols.transfer import Scored, Transfer

    def run(attack, images=images, scored=tuple(classifiers), surrogate=network, **options):
        those = [Scored(classifiers[each] if isinstance(each, str) else each, 8) for each in scored]
        transfer = Transfer(Scored(surrogate, 8), those, attack, device=torch.device("cpu"), **options)
        return dict(zip(scored, transfer(*images), strict=True))

    return run


@pytest.fixture(scope="module")
def predict():
    return lambda module, image: int(module(image[None])[0].argmax())


@pytest.fixture(scope="module")
def images_with_one_at_its_target(images, network):
    """The images, but the first has a name whose target is what the surrogate takes the clean image for."""
    label = int(images.labels[0])
    taken_for = int(network(images.pixels[:1] / 255).argmax())
    assert taken_for != label
    name = next(name for name in map("{}.png".format, count()) if wrong_class(0, name, label) == taken_for)
    return images._replace(names=[name, *images.names[1:]])


def test_published_scores_where_the_surrogate_first_takes_an_image_for_its_target(
    run, network, classifiers, plain_pgd, predict, images_with_one_at_its_target
):
    images = images_with_one_at_its_target
    found = run(PUBLISHED, images)
    steps = []
    for place, (pixels, label, name) in enumerate(zip(*images, strict=True)):
        target = wrong_class(0, name, int(label))
        seen = plain_pgd(network, pixels, name, target, PUBLISHED)
        clean = pixels / 255
        is_attacked = predict(network, clean) != target
        reached = [step for step, each in enumerate(seen) if step and each.predicted == target] if is_attacked else []
        first = reached[0] if reached else 0
        steps.append(first if is_attacked else -1)
        scored = seen[first or -1]
        for key, module in classifiers.items():
            columns = found[key]
            before, after = predict(module, clean), predict(module, seen[first].image)
            assert columns["target"][place] == target
            assert columns["clean_prediction"][place] == before
            assert columns["first_fooled"][place].tolist() == [steps[-1]]
            assert columns["ladder_prediction"][place].tolist() == [
                after if 0 < first <= rung else before for rung in PUBLISHED.ladder
            ]
            if is_attacked:
                assert columns["loss_start"][place] == pytest.approx([seen[0].loss], rel=1e-4)
                assert columns["loss_end"][place] == pytest.approx([scored.loss], rel=1e-3)
                change = float((scored.image - clean).abs().max())
                assert columns["linf"][place] == pytest.approx(change, abs=1e-6)
                way = float((scored.image - seen[0].image.clamp(0, 1)).abs().max())
                assert columns["moved"][place] == pytest.approx([way], abs=1e-6)
            else:
                assert np.isnan(columns["loss_start"][place]).all()
                assert np.isnan(columns["moved"][place]).all()
                assert columns["linf"][place] == 0
    assert steps[0] == -1
    assert len(set(steps)) > 4


def test_of_two_classes_the_target_is_the_other(run, of_two_classes):
    images, others = of_two_classes
    for found in run(PUBLISHED, images, classes=(3, 700)).values():
        assert found["target"].tolist() == others


def test_published_attacks_images_that_the_surrogate_is_wrong_about(run, images):
    found = run(PUBLISHED)["itself"]
    wrong = found["clean_prediction"] != images.labels
    assert wrong.sum() == 4
    assert (found["first_fooled"][wrong] > 0).any()
    assert np.isfinite(found["loss_start"][wrong]).all()


def test_published_may_make_an_image_right_that_was_wrong(run, images):
    # A class that the distant relative takes an attacked image for, made its label: the attack now helps.
    before = run(PUBLISHED)["distant"]
    moved = np.flatnonzero(before["ladder_prediction"][:, -1] != before["clean_prediction"])
    labels = images.labels.copy()
    wanted = before["ladder_prediction"][moved, -1]
    kept = [
        wrong_class(0, images.names[place], int(label)) == before["target"][place]
        for place, label in zip(moved, wanted, strict=True)
    ]
    labels[moved[kept]] = wanted[kept]
    after = run(PUBLISHED, images._replace(labels=labels))["distant"]
    helped = (after["clean_prediction"] != labels) & (after["ladder_prediction"][:, -1] == labels)
    assert set(moved[kept]) <= set(np.flatnonzero(helped))
    assert len(moved[kept]) > 2


def test_published_scored_on_the_surrogate_itself_is_the_white_box_outcome_for_right_images(run, images, network):
    from dataclasses import replace

    import torch

    from harness.protocols.whitebox import WhiteBox

    transferred = run(PUBLISHED)["itself"]
    whitebox = WhiteBox(network, replace(PUBLISHED, surrogate=""), device=torch.device("cpu"))(*images)
    right = whitebox["clean_prediction"] == images.labels
    same = ("first_fooled", "ladder_prediction", "target", "linf", "loss_start", "loss_end", "zero_gradient", "moved")
    for name in same:
        assert np.allclose(transferred[name][right], whitebox[name][right], atol=1e-6), name


def test_standard_is_the_worst_over_ladder_losses_and_restarts_for_each_classifier(
    run, network, classifiers, plain_pgd, predict, images
):
    found = run(STANDARD)
    outcomes = {key: set() for key in classifiers}
    for place, (pixels, label, name) in enumerate(zip(*images, strict=True)):
        label = int(label)
        walks = [
            plain_pgd(network, pixels, name, label, STANDARD, loss=pursuit.loss, restart=pursuit.restart)
            for pursuit in STANDARD.pursuits
        ]
        for key, module in classifiers.items():
            columns = found[key]
            clean = predict(module, pixels / 255)
            assert columns["clean_prediction"][place] == clean
            if clean != label:
                assert columns["first_fooled"][place].tolist() == [-1]
                assert columns["ladder_prediction"][place].tolist() == [clean] * 4
                assert np.isnan(columns["loss_start"][place]).all()
                continue
            seen = [[predict(module, walk[steps].image) for walk in walks] for steps in STANDARD.ladder]
            wrong = [any(predicted != label for predicted in at) for at in seen]
            first = next((steps for steps, is_wrong in zip(STANDARD.ladder, wrong, strict=True) if is_wrong), 0)
            outcomes[key].add(first)
            assert columns["first_fooled"][place].tolist() == [first]
            for rung, predicted in enumerate(columns["ladder_prediction"][place]):
                so_far = {predicted for at in seen[: rung + 1] for predicted in at} - {label}
                assert predicted in (so_far or {label})
    assert all({0, 1} < outcomes[key] for key in ("itself", "close"))


@FORMS
def test_columns_do_not_depend_on_who_else_is_scored(run, classifiers, attack):
    together = run(attack)
    for key in classifiers:
        (alone,) = run(attack, scored=(key,)).values()
        for name, values in together[key].items():
            assert np.allclose(values, alone[name], atol=1e-6, equal_nan=True), name
            assert values.dtype.kind != "i" or np.array_equal(values, alone[name]), name


@FORMS
def test_an_images_records_do_not_depend_on_its_batch(run, images, attack):
    whole = run(attack)
    shuffled = np.random.RandomState(1).permutation(24).tolist()
    for places in (shuffled, [5], list(range(12, 24))):
        part = run(attack, images.only(places))
        for key, columns in part.items():
            for name, values in columns.items():
                assert np.allclose(values, whole[key][name][places], atol=1e-6, equal_nan=True), name
                assert values.dtype.kind != "i" or np.array_equal(values, whole[key][name][places]), name


@FORMS
def test_columns_are_as_the_schema_says(run, images, attack):
    from harness.records.schema import ATTACK_COLUMNS

    for columns in run(attack).values():
        without = {"followed_prediction"} if attack.targeted else {"followed_prediction", "target"}
        assert set(columns) == {"label", *ATTACK_COLUMNS} - without
        assert columns["first_fooled"].shape == columns["loss_start"].shape == (24, 1)
        assert columns["ladder_prediction"].shape == (24, 4)
        assert columns["label"].tolist() == images.labels.tolist()
        assert {str(values.dtype) for values in columns.values()} == {"int16", "float32"}


@FORMS
def test_images_stay_in_the_box_and_in_bounds(run, attack):
    for columns in run(attack).values():
        assert 0.5 * attack.eps < columns["linf"].max() <= attack.eps + 1e-6
        assert 0.5 * attack.eps < np.nanmax(columns["moved"]) <= 2 * attack.eps + 1e-6
        assert (columns["outside"] == 0).all()


@FORMS
def test_the_surrogate_is_attacked_once_for_all_classifiers(run, network, attack):
    import torch

    counts = []
    counted = torch.nn.Sequential(network)
    counted.register_forward_hook(lambda *_: counts.append(1))
    counted.eval()
    run(attack, scored=("close",), surrogate=counted)
    alone = len(counts)
    counts.clear()
    run(attack, scored=("close", "distant"), surrogate=counted)
    assert 0 < alone <= len(counts) < 1.5 * alone


def test_an_image_is_attacked_no_longer_than_its_outcome_is_open(run, network, plain_pgd, images):
    import torch

    attacked = []
    counted = torch.nn.Sequential(network).eval()
    counted.register_forward_hook(lambda module, inputs, output: attacked.append(len(inputs[0])))
    run(STANDARD, scored=("itself",), surrogate=counted)
    expected = 0
    for pixels, label, name in zip(*images, strict=True):
        open_rungs = 0 if int(network(pixels[None] / 255).argmax()) != label else len(STANDARD.ladder)
        for pursuit in STANDARD.pursuits:
            how = {"loss": pursuit.loss, "restart": pursuit.restart}
            seen = plain_pgd(network, pixels, name, int(label), STANDARD, **how)
            fooled = [rung for rung in range(open_rungs) if seen[STANDARD.ladder[rung]].predicted != label]
            if open_rungs:
                expected += 1 + STANDARD.ladder[min([*fooled, open_rungs - 1])]  # its start, and each step
            open_rungs = min([*fooled, open_rungs])
    assert sum(attacked) == expected


def test_images_of_another_size_are_resized_to_what_the_scored_classifier_takes(images, network):
    import torch

    from harness.protocols.transfer import Scored, Transfer

    shapes = []

    class Halves(torch.nn.Module):
        """Decides by which half of an image is brighter: 3 for the left, 4 for the right."""

        def forward(self, images):
            shapes.append(tuple(images.shape[2:]))
            left, right = images.chunk(2, dim=3)
            sides = torch.stack([left.mean((1, 2, 3)), right.mean((1, 2, 3))], dim=1)
            return torch.nn.functional.pad(100 * sides, (3, 995))

    pixels = torch.full((2, 3, 8, 8), 60, dtype=torch.uint8)
    pixels[0, :, :, :4] = pixels[1, :, :, 4:] = 200
    for crop in (4, 8, 16):
        shapes.clear()
        transfer = Transfer(Scored(network, 8), [Scored(Halves().eval(), crop)], STANDARD, device=torch.device("cpu"))
        (columns,) = transfer(pixels, np.array([3, 4], dtype=np.int16), ["a.png", "b.png"])
        assert set(shapes) == {(crop, crop)}
        assert columns["clean_prediction"].tolist() == [3, 4]
        assert (columns["ladder_prediction"] == [[3], [4]]).all()


@FORMS
@pytest.mark.parametrize("who", ["surrogate", "scored"])
def test_a_logit_that_is_no_number_is_blamed_on_its_image_whoever_gives_it(run, network, images, who, attack):
    import torch

    marked = 20
    original = images.pixels[marked] / 255

    class Breaks(torch.nn.Module):
        """Breaks on one of the images as soon as it is attacked."""

        def forward(self, images):
            change = (images - original).abs().amax((1, 2, 3))
            breaks = (change > 0) & (change < 0.2)
            return torch.where(breaks[:, None], torch.nan, network(images))

    broken = Breaks().eval()
    chain = {"scored": ("close",), "surrogate": broken} if who == "surrogate" else {"scored": ("close", broken)}
    with pytest.raises(NonFinite, match="NaN or infinite logits for the image at place 20 of the batch"):
        run(attack, **chain)


@FORMS
def test_a_surrogate_without_gradients_is_refused_and_a_scored_classifier_needs_none(run, network, attack):
    import torch

    class Blind(torch.nn.Module):
        def forward(self, images):
            return network(images.detach())

    blind = Blind().eval()
    with pytest.raises(NoGradient):
        run(attack, surrogate=blind)
    (columns,) = run(attack, scored=(blind,)).values()
    assert np.array_equal(columns["ladder_prediction"], run(attack, scored=("itself",))["itself"]["ladder_prediction"])
