"""Why a classifier is bad: each break is planted in one that reads colours, and is told from the others."""

import json
from math import comb

import numpy as np
import pytest

from data_fixtures.colours import colour_of, write_imagenet
from harness.classifiers.spec import parse_spec
from harness.cli import main
from harness.diagnosis import FIRST_LOOK, diagnose, diagnose_dataset, is_at_chance
from harness.errors import ClassifierError
from harness.readings import respelt

AS_THEY_ARE = "mean=0,0,0&std=1,1,1"
HALVES = "mean=0.5,0.5,0.5&std=0.5,0.5,0.5"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

pytestmark = pytest.mark.usefixtures("one_thread")


def planted(before=lambda images: images, after=lambda logits: logits, query=AS_THEY_ARE):
    """A classifier that reads colours right, but for what is done to its input and to its logits."""
    from torch import nn

    from data_fixtures.classifiers import ReadsColours
    from harness.classifiers.classifier import Classifier

    class Planted(nn.Module):
        def __init__(self):
            super().__init__()
            self.reads = ReadsColours()

        def forward(self, images):
            return after(self.reads(before(images)))

    return Classifier.freeze(parse_spec(f"python:planted:it?{query}"), Planted(), "0" * 64, "cpu")


def plain(labels):
    """Images of 4 x 4 pixels in the colours of classes."""
    import torch

    colours = torch.tensor([colour_of(int(index)) for index in labels], dtype=torch.uint8)
    return colours[:, :, None, None].expand(-1, 3, 4, 4).contiguous()


def labelled(n=FIRST_LOOK, *, right=0.7, classes=1000, seed=0):
    """Images in the colours of their labels, but for a share in the colour of another class."""
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, classes, n)
    seen = np.where(np.arange(n) < right * n, labels, draws.integers(0, 1000, n))
    order = draws.permutation(n)
    return plain(seen[order]), labels[order]


def normalised(mean, std):
    """What undoes a normalisation: a network behind it takes normalised pixels."""
    import torch

    mean, std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]
    return lambda images: images * std + mean


def scrambled():
    """A permutation of the classes that leaves none in its place."""
    return np.roll(np.arange(1000)[::-1], 1)


BREAKS = {
    "BGR": ({"before": lambda images: images.flip(1)}, "BGR", "in the order BGR, not RGB"),
    "pixels_in_255": (
        {"before": lambda images: images / 255},
        "pixels in 0-255",
        "takes pixels in 0..255, and is given",
    ),
    "halves": ({"before": lambda images: images / 2 + 0.5}, "pixels in -1..1", "takes pixels in -1..1, and is given"),
    "not_normalised": (
        {"before": lambda images: normalised(IMAGENET_MEAN, IMAGENET_STD)(images)},
        "ImageNet's mean and std",
        "takes pixels normalised by ImageNet's mean and std, and is given pixels in 0..1 as they are",
    ),
    "normalised_twice": ({"query": ""}, "not normalised", "normalised twice, if it does so itself"),
    "mean_of_255": (
        {"before": lambda images: normalised(IMAGENET_MEAN, (1 / 255,) * 3)(images)},
        "pixels in 0-255 less the mean",
        "takes pixels in 0..255 less the mean",
    ),
    "as_caffe": (
        {"before": lambda images: normalised(IMAGENET_MEAN, (1 / 255,) * 3)(images.flip(1))},
        "BGR in 0-255 less the mean",
        "as Caffe's networks do",
    ),
    "one_too_high": ({"after": lambda logits: logits.roll(1, 1)}, "labels shifted by 1", "indices are 1 too high"),
    "one_too_low": ({"after": lambda logits: logits.roll(-1, 1)}, "labels shifted by -1", "indices are 1 too low"),
    "far_too_high": ({"after": lambda logits: logits.roll(37, 1)}, "labels shifted by 37", "indices are 37 too high"),
    "far_too_low": ({"after": lambda logits: logits.roll(-400, 1)}, "labels shifted by -400", "are 400 too low"),
    "sorted_as_text": (
        {"after": lambda logits: logits[:, sorted(range(1000), key=str)]},
        "class indices sorted as text",
        "sorted as text (0, 1, 10, 100 ...)",
    ),
    "negated": ({"after": lambda logits: -logits}, "logits negated", "the smallest is of the right class"),
    "background_last": (
        {"after": lambda logits: pad(logits, 0, 1), "query": AS_THEY_ARE + "&classes=1001"},
        "background class last",
        "its background class is the last",
    ),
    "two_at_once": (
        {"before": lambda images: images / 255, "after": lambda logits: logits.roll(1, 1)},
        "pixels in 0-255 + labels shifted by 1",
        "1 too high",
    ),
}


def pad(logits, before, after):
    from torch.nn.functional import pad

    return pad(logits, (before, after), value=-1e9)


@pytest.mark.parametrize(("how", "name", "words"), BREAKS.values(), ids=BREAKS)
def test_a_planted_break_is_named(how, name, words):
    images, labels = labelled()
    found = diagnose(planted(**how), images, labels)
    assert found.best is not None
    assert (found.best.name, found.best.images) == (name, FIRST_LOOK)
    assert found.best.accuracy == pytest.approx(0.7, abs=0.01)
    assert found.accuracy < 0.2
    assert words in str(found)
    assert found.best.remedy in str(found)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8, 1])
def test_what_is_not_broken_raises_no_alarm(share):
    for seed in range(3):
        images, labels = labelled(512, right=share, seed=seed)
        found = diagnose(planted(), images, labels)
        assert found.best is None
        assert not found.is_at_chance
        due = np.array([colour_of(int(index)) for index in labels[: found.images]])
        assert found.accuracy == (due == images[: found.images, :, 0, 0].numpy()).all(1).mean()
        assert "does clearly better" in str(found)


def test_of_two_readings_that_are_as_good_the_simpler_one_is_named():
    """A network that hardly minds how its input is scaled reads BGR in either scale, by luck one a little better."""

    def whatever_scale(images):
        if images.abs().max() > 20:  # less the mean, in 0..255
            return normalised(IMAGENET_MEAN, (1 / 255,) * 3)(images.flip(1))
        read = normalised(IMAGENET_MEAN, IMAGENET_STD)(images.flip(1))
        read[0] = 0
        return read

    images, labels = labelled(right=1)
    found = diagnose(planted(before=whatever_scale, query=""), images, labels)
    assert found.readings[0].name == "BGR in 0-255 less the mean"
    assert found.readings[0].accuracy > found.best.accuracy
    assert found.best.name == "BGR"
    assert "std" not in found.best.remedy


def test_the_remedy_is_a_spec_under_which_it_is_right():
    images, labels = labelled()
    found = diagnose(planted(before=lambda images: images / 2 + 0.5), images, labels)
    text = found.best.remedy.removeprefix("write its spec as ")
    assert parse_spec(text).preprocessing == parse_spec(f"python:planted:it?{HALVES}").preprocessing
    mended = planted(before=lambda images: images / 2 + 0.5, query=text.partition("?")[2])
    assert diagnose(mended, images, labels).accuracy == found.best.accuracy


def test_the_remedies_for_shifts_and_channels_mend():
    images, labels = labelled()
    broken = planted(before=lambda images: images.flip(1), after=lambda logits: logits.roll(37, 1))
    shifted = diagnose(broken, images, labels)
    # Both breaks hide one another but for the colours that are the same backwards.
    assert shifted.best.name == "BGR + labels shifted by 37"
    assert "its logits (roll(-37, 1))" in shifted.best.remedy
    mended = planted(before=lambda images: images.flip(1).flip(1), after=lambda logits: logits.roll(37, 1).roll(-37, 1))
    assert diagnose(mended, images, labels).accuracy == shifted.best.accuracy


def test_a_spec_is_spelt_anew_with_what_it_had():
    spec = parse_spec("torchvision:alexnet@a=b.pth?std=1,1,1&resize=300")
    assert respelt(spec, std="2,2,2", crop=299) == "torchvision:alexnet@a=b.pth?std=2,2,2&resize=300&crop=299"
    assert respelt(parse_spec("alexnet"), crop=160) == "alexnet?crop=160"


@pytest.mark.parametrize(
    ("hits", "images", "classes", "expected"),
    [
        pytest.param(9, 9, 10, True, id="2^-9 is above 1e-3"),
        pytest.param(10, 10, 10, False, id="2^-10 is below"),
        pytest.param(1, 1, 1000, True, id="one image, 0.005"),
        pytest.param(1, 2, 1000, True, id="1 - 0.995^2 = 0.009975"),
        pytest.param(2, 2, 1000, False, id="0.005^2 = 2.5e-5"),
        pytest.param(0, 50_000, 1000, True, id="none right"),
        pytest.param(250, 50_000, 1000, True, id="five times chance"),
        pytest.param(500, 50_000, 1000, False, id="ten times chance"),
        pytest.param(3, 3, 4, True, id="five times chance is certainty"),
    ],
)
def test_chance_by_hand(hits, images, classes, expected):
    assert is_at_chance(hits, images, classes) is expected


def test_chance_is_the_exact_binomial_tail():
    for images in (20, 128):
        for hits in range(8):
            tail = 1 - sum(comb(images, k) * 0.005**k * 0.995 ** (images - k) for k in range(hits))
            assert is_at_chance(hits, images, 1000) == (tail > 1e-3)


def test_a_reading_is_named_from_as_many_images_as_the_exact_test_asks_for():
    """All wrong now and all right when read otherwise: n images won and none lost have a chance of 2^-n."""
    named = {}
    for n in range(8, 25):
        images, labels = labelled(n, right=1)
        found = diagnose(planted(after=lambda logits: logits.roll(1, 1)), images, labels)
        named[n] = found.best is not None
        assert named[n] == (2.0**-n <= 1e-3 / (2 * (len(found.readings) + 1)))
    assert set(named.values()) == {False, True}


def test_a_shift_that_was_chosen_for_its_success_needs_more_images_than_one_that_was_not():
    images, labels = labelled(20, right=1)
    assert diagnose(planted(after=lambda logits: logits.roll(1, 1)), images, labels).best is not None
    chosen = diagnose(planted(after=lambda logits: logits.roll(2, 1)), images, labels)
    assert chosen.best is None
    assert (chosen.readings[0].name, chosen.readings[0].accuracy) == ("labels shifted by 2", 1)


def guesses(seed, spread=1000):
    """Answers that have nothing to do with the labels: random logits of as many classes, by the image's colour."""
    import torch

    table = torch.randn(1000, 1000, generator=torch.Generator().manual_seed(seed))
    table[:, spread:] = -9
    return planted(after=lambda logits: table[logits.argmax(1)])


@pytest.mark.parametrize("spread", [1000, 30, 2])
def test_guesses_raise_no_alarm(spread):
    for seed in range(8):
        images, labels = labelled(600, right=0, seed=seed)
        found = diagnose(guesses(seed, spread), images, labels)
        assert found.best is None, (seed, found.best)


def test_a_gain_of_few_points_is_seen_on_more_images():
    """Seven of a hundred images have a colour that is another one's backwards; the rest read the same both ways."""
    broken = planted(before=lambda images: images.flip(1))
    labels = np.where(np.arange(512) % 100 < 7, 123, 111)[np.random.default_rng(0).permutation(512)]
    few = diagnose(broken, plain(labels[:128]), labels[:128])
    assert few.best is None
    assert few.suspect is not None
    assert few.suspect.name == "BGR"
    assert (
        "perhaps its channels are in the order BGR, not RGB: read so, it is right about 100 % instead of" in few.doubt
    )
    assert few.doubt in str(few)
    found = diagnose(broken, plain(labels), labels)
    assert found.best is not None
    assert (found.suspect, found.doubt) == (None, "")
    assert (found.best.name, found.best.images, found.best.accuracy) == ("BGR", 512, 1)
    assert (found.images, found.accuracy) == (512, np.mean(labels == 111))


def test_a_gain_of_less_than_five_points_is_not_named():
    labels = np.where(np.arange(512) % 25 == 0, 123, 111)
    found = diagnose(planted(before=lambda images: images.flip(1)), plain(labels), labels)
    assert (found.best, found.readings[0].name, found.readings[0].accuracy) == (None, "BGR", 1)
    assert (found.images, found.accuracy) == (512, np.mean(labels == 111))
    assert (found.suspect, found.doubt) == (None, "")


def test_a_few_images_more_that_are_right_may_be_luck_and_raise_no_suspicion():
    """Two of 20 images are right when read otherwise: a tenth, but two of two come by luck once in four times."""
    labels = np.array([111] * 18 + [123] * 2)
    found = diagnose(planted(before=lambda images: images.flip(1)), plain(labels), labels)
    assert (found.readings[0].name, found.readings[0].accuracy) == ("BGR", 1)
    assert found.suspect is None
    assert found.doubt == "20 images are too few to tell other readings apart; it takes 128"


def test_classes_in_another_order_are_told_with_several_images_a_class():
    images, labels = labelled(400, classes=40)
    found = diagnose(planted(after=lambda logits: logits[:, scrambled()]), images, labels)
    assert found.is_at_chance
    assert found.best is not None
    assert found.best.name == "classes in another order"
    assert found.best.accuracy == pytest.approx(0.7, abs=0.1)
    assert "one-to-one mapping of" in str(found)


def test_with_few_images_a_class_it_is_said_that_it_can_not_be_told():
    images, labels = labelled(400)
    found = diagnose(planted(after=lambda logits: logits[:, scrambled()]), images, labels)
    assert found.best is None
    assert "in another order can't be told here: it takes 4 images or more of several classes" in str(found)


def test_a_reference_tells_another_order_from_hard_images():
    """Of the labels the classifier knows a tenth, but it agrees with the reference all the time."""
    images, labels = labelled(400, classes=40, right=1)
    reference = labels.copy()
    labels = np.where(np.arange(400) % 10 == 0, labels, (labels + 500) % 1000)
    found = diagnose(planted(after=lambda logits: logits[:, scrambled()]), images, labels, reference=reference)
    assert found.best is not None
    assert found.best.name == "classes in another order"
    assert "agrees with the reference about 100 % of the other half" in found.best.words
    assert found.best.accuracy == pytest.approx(0.1, abs=0.07)


def test_a_reference_that_agrees_raises_no_alarm():
    images, labels = labelled(400, classes=40)
    found = diagnose(planted(), images, labels, reference=labels)
    assert found.best is None


def test_a_broken_network_whose_answers_say_something_is_not_taken_for_another_order():
    """It answers one of three classes for groups of 14: a mapping explains that, but no one-to-one mapping does."""

    def three(logits):
        return logits.new_zeros(len(logits), 1000).scatter_(1, 700 + logits.argmax(1)[:, None] // 14, 9.0)

    images, labels = labelled(400, classes=40, right=1)
    found = diagnose(planted(after=three), images, labels)
    assert found.best is None
    assert "no other order of its classes helps" in str(found)


def fitted(labels):
    """Images in the colours of their labels, as large as they are asked for."""
    import torch

    colours = torch.tensor([colour_of(int(index)) for index in labels], dtype=torch.uint8)
    asked = []

    def pixels(fitting, places):
        asked.append((fitting.resize, fitting.crop, len(places)))
        return colours[list(places)][:, :, None, None].expand(-1, 3, fitting.crop, fitting.crop)

    return pixels, asked


def only_at(side):
    """Reads colours in images of one size, and fails or answers nothing in others."""

    def before(images):
        if images.shape[-1] > 224:
            raise RuntimeError("too large")
        return images if images.shape[-1] == side else images * 0

    return before


def test_another_input_size_is_named_and_one_that_it_does_not_take_is_passed_over():
    labels = np.random.default_rng(0).integers(0, 1000, 40)
    pixels, asked = fitted(labels)
    found = diagnose(planted(before=only_at(160)), pixels, labels)
    assert found.best is not None
    assert (found.best.name, found.best.accuracy) == ("crop 160", 1)
    assert "crop=160" in found.best.remedy
    assert "is given 224 x 224" in found.best.words
    assert {name.partition(" +")[0] for name in (reading.name for reading in found.readings)}.isdisjoint({"crop 299"})
    assert {(146, 128, 40), (183, 160, 40), (342, 299, 40), (224, 224, 40)} <= set(asked)


def test_pixels_that_are_given_are_tried_in_their_own_size_alone():
    images, labels = labelled(40)
    assert not [reading for reading in diagnose(planted(), images, labels).readings if "crop" in reading.name]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        pytest.param(
            lambda logits: logits * 0 + logits.new_ones(1000).index_fill(0, logits.new_tensor([463]).long(), 20),
            "it answers class 463 for 100 % of the images: its last layer or a batch norm is broken",
            id="constant",
        ),
        pytest.param(lambda logits: logits * float("nan"), "NaN or infinite for 100 % of the images", id="nan"),
        pytest.param(
            lambda logits: 1e-5 * logits[:, scrambled()],
            "with mean confidence 0.001, as an untrained network does: its weights were lost, or not loaded",
            id="untrained",
        ),
    ],
)
def test_what_no_reading_mends_is_described(after, words):
    images, labels = labelled(300)
    found = diagnose(planted(after=after), images, labels)
    assert found.best is None
    assert found.is_at_chance
    assert words in str(found)
    assert found.doubt.startswith("it is no better than chance, however it is read: ")
    assert words in found.doubt


def test_answers_are_summed_up():
    images, labels = labelled(100, right=1, seed=3)
    answers = diagnose(planted(after=lambda logits: logits / 20), images, labels).answers
    found, counts = np.unique(labels, return_counts=True)
    assert (answers.distinct, answers.non_finite) == (len(found), 0)
    assert answers.share == counts.max() / 100
    assert counts[found == answers.commonest] == counts.max()
    colours = np.array([colour_of(index) for index in range(1000)]) / 255
    logits = -100 * np.square(colours[labels][:, None] - colours).sum(2)
    assert answers.confidence == pytest.approx(np.mean(1 / np.exp(logits).sum(1)), rel=1e-4)


def test_it_takes_no_more_than_fifteen_looks_at_the_first_images():
    shown = []
    images, labels = labelled(512)

    def pixels(fitting, places):
        return images[list(places)]

    def counting(batch):
        shown.append(len(batch))
        return batch

    diagnose(planted(before=counting, after=lambda logits: logits.roll(1, 1)), pixels, labels)
    assert FIRST_LOOK <= sum(shown) <= 15 * FIRST_LOOK
    assert max(shown) <= 32


def test_where_memory_runs_out_fewer_images_are_shown_at_once():
    images, labels = labelled(40)

    def small(batch):
        if len(batch) > 5:
            raise MemoryError
        return batch

    found, expected = (diagnose(planted(before=each), images, labels) for each in (small, lambda batch: batch))
    assert str(found) == str(expected)


def test_what_a_networks_own_code_raises_is_one_line():
    def fails(batch):
        raise KeyError("features")

    images, labels = labelled(40)
    with pytest.raises(ClassifierError, match=r"planted:it.* fails on images of shape \(40, 3, 4, 4\) \(KeyError: "):
        diagnose(planted(before=fails), images, labels)


def test_what_gives_no_logits_is_one_line():
    images, labels = labelled(40)
    with pytest.raises(ClassifierError, match=r"planted:it.* gives 10 logits an image, the spec asks for 1000"):
        diagnose(planted(after=lambda logits: logits[:, :10]), images, labels)


SPEC = "python:data_fixtures.classifiers:{}?mean=0,0,0&std=1,1,1"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("ROBUSTNESS_DATA", raising=False)
    write_imagenet(tmp_path / "data" / "imagenet", range(0, 1000, 40), per_class=2)

    def run(*arguments):
        code = main([*arguments, "--data-root", str(tmp_path / "data"), "--records", str(tmp_path / "records")])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_dataset_is_seen_in_its_seeded_order(tmp_path):
    from harness.benchmarks.imagenet import open_imagenet

    write_imagenet(tmp_path, range(0, 1000, 40), per_class=2)
    dataset, broken = open_imagenet(tmp_path), planted(after=lambda logits: logits.roll(1, 1))
    found = diagnose_dataset(dataset, broken, images=30, seed=5)
    assert (found.accuracy, found.images) == (0, 30)
    assert (found.best.name, found.best.accuracy) == ("labels shifted by 1", 1)


def test_measure_warns_of_a_classifier_at_chance(run):
    code, out, err = run("measure", SPEC.format("reads_the_next_class"), "imagenet")
    assert code == 0
    assert "top1                    0 %" in out
    assert "diagnosis" not in out
    assert (
        "reads_the_next_class: top-1 is 0 % of the first 50 images, no better than chance: its class indices are 1 too"
        in err
    )


def test_measure_as_json_holds_the_diagnosis(run):
    found = json.loads(run("measure", SPEC.format("reads_the_next_class"), "imagenet", "--json")[1])["diagnosis"]
    assert (found["accuracy"], found["images"], found["best"]["accuracy"]) == (0, 50, 1)
    assert found["best"]["name"].startswith("labels shifted by ")
    assert found["best"] in found["readings"]
    assert found["words"].startswith("top-1 is 0 % of the first 50 images")


def test_measure_says_nothing_of_a_good_classifier_unless_asked(run):
    code, out, err = run("measure", SPEC.format("reads_colours"), "imagenet", "--json")
    assert code == 0
    assert "diagnosis" not in json.loads(out)
    assert err == ""
    out = run("measure", SPEC.format("reads_colours"), "imagenet", "--diagnose")[1]
    assert "diagnosis: top-1 is 100 % of the first 50 images; none of " in out


def test_a_handful_of_images_is_no_alarm(run):
    code, out, err = run("measure", SPEC.format("reads_the_next_class"), "imagenet", "--images", "10")
    assert (code, err) == (0, "")
    assert "top1                    0 %" in out


@pytest.mark.parametrize("more", [["imagenet-c"], ["imagenet", "--protocol", "pgd-standard"]])
def test_only_clean_images_are_diagnosed(run, more):
    code, _, err = run("measure", SPEC.format("reads_colours"), *more, "--diagnose")
    assert code == 2
    assert "--diagnose is for measure SPEC imagenet" in err


HALF = "mean=0.50196,0.50196,0.50196&std=0.50196,0.50196,0.50196"
REAL = {
    "squeezenet": "torchvision:squeezenet1_0@{}/squeezenet1_0_deepcomp.safetensors",
    "mobilenet_025": "python:real_architectures:mobilenet_v1_025@{}/mobilenet_v1_0.25_128.safetensors?" + HALF,
    "mobilenet_050": "python:real_architectures:mobilenet_v1_050@{}/mobilenet_v1_0.5_160.safetensors?" + HALF,
    "mobilenet_100": "python:real_architectures:mobilenet_v1_100@{}/mobilenet_v1_1.0_224.safetensors?" + HALF,
}


@pytest.fixture
def diagnosed(real_data, real_checkpoints, monkeypatch):
    """From a checkpoint's name, keys of its spec and what is done to its first and last layer to its diagnosis."""
    from torch import nn

    from harness.benchmarks.catalog import DataRoots, open_benchmark
    from harness.classifiers.loading import load

    monkeypatch.syspath_prepend(real_checkpoints)

    def diagnosed(name, keys=None, breaks=lambda first, last: None):
        spec = parse_spec(REAL[name].format(real_checkpoints))
        classifier = load(respelt(spec, **keys) if keys else spec)
        layers = [each for each in classifier.module.modules() if isinstance(each, (nn.Conv2d, nn.Linear))]
        breaks(layers[0], layers[-1])
        return diagnose_dataset(open_benchmark("imagenet", DataRoots(real_data)), classifier)

    return diagnosed


def swap_channels(first, last):
    first.weight.data = first.weight.data[:, [2, 1, 0]].contiguous()


def shift_labels(first, last):
    last.weight.data, last.bias.data = last.weight.data.roll(1, 0), last.bias.data.roll(1, 0)


def scramble_labels(first, last):
    last.weight.data, last.bias.data = last.weight.data[scrambled()], last.bias.data[scrambled()]


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_checkpoints_as_they_are_raise_no_alarm(diagnosed, name):
    found = diagnosed(name)
    assert found.best is None, str(found)
    assert not found.is_at_chance


@pytest.mark.real
@pytest.mark.parametrize(
    ("keys", "breaks", "name"),
    [
        pytest.param({}, swap_channels, "BGR", id="BGR"),
        pytest.param({}, shift_labels, "labels shifted by 1", id="shifted"),
        pytest.param({}, scramble_labels, "classes in another order", id="scrambled"),
        pytest.param({"mean": "0,0,0", "std": "1,1,1"}, None, "pixels in -1..1", id="not_normalised"),
        pytest.param(
            {"mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}, None, "pixels in -1..1", id="imagenets"
        ),
        pytest.param({"resize": 110, "crop": 96}, None, "crop 224", id="small"),
    ],
)
def test_a_real_checkpoint_that_is_broken_is_told_how(diagnosed, keys, breaks, name):
    found = diagnosed("mobilenet_025", keys, breaks or (lambda first, last: None))
    assert found.best is not None, str(found)
    assert found.best.name == name
