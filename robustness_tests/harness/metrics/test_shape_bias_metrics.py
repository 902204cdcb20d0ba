"""Shape bias against hand-worked cases, published counts, and the published answers of humans and networks."""

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from harness.errors import NotMeasured
from harness.metrics.shape_bias import (
    CATEGORIES,
    CATEGORY_INDICES,
    NO_CATEGORY,
    category_of,
    decide_by_category,
    decide_by_class,
    shape_bias,
)

AIRPLANE, BEAR, BICYCLE, DOG = (CATEGORIES.index(name) for name in ("airplane", "bear", "bicycle", "dog"))


SIZES = {
    "dog": 109, "bird": 49, "truck": 8, "bottle": 7, "cat": 6, "boat": 5, "bear": 4, "chair": 4,
    "car": 3, "clock": 3, "bicycle": 2, "elephant": 2, "keyboard": 2, "airplane": 1, "knife": 1, "oven": 1,
}  # fmt: skip
CLASS_NAMES = {
    "airplane": "airliner",
    "bear": "brown bear, American black bear, ice bear, sloth bear",
    "bicycle": "bicycle-built-for-two, mountain bike",
    "boat": "canoe, fireboat, lifeboat, speedboat, yawl",
    "bottle": "beer bottle, pill bottle, pop bottle, water bottle, water jug, whiskey jug, wine bottle",
    "car": "beach wagon, convertible, sports car",
    "cat": "tabby, tiger cat, Persian cat, Siamese cat, Egyptian cat, cougar",
    "chair": "barber chair, folding chair, rocking chair, throne",
    "clock": "analog clock, digital clock, wall clock",
    "elephant": "Indian elephant, African elephant",
    "keyboard": "computer keyboard, typewriter keyboard",
    "knife": "cleaver",
    "oven": "rotisserie",
    "truck": "fire engine, garbage truck, minivan, moving van, pickup, police van, tow truck, trailer truck",
}
DOGS_LEFT_OUT = "cairn, Lhasa, kelpie, boxer, dalmatian, Samoyed, chow, Cardigan"


@pytest.fixture(scope="module")
def imagenet_names() -> list[str]:
    """Torchvision's names of the 1000 classes, read without importing torch."""
    package = importlib.util.find_spec("torchvision")
    source = Path(package.submodule_search_locations[0]) / "models" / "_meta.py"
    spec = importlib.util.spec_from_file_location("imagenet_names", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module._IMAGENET_CATEGORIES


class TestCategories:
    def test_are_16_in_alphabetical_order(self):
        assert len(CATEGORIES) == 16
        assert list(CATEGORIES) == sorted(CATEGORIES) == list(CATEGORY_INDICES)

    def test_cover_207_classes_each_once(self):
        assert {name: len(indices) for name, indices in CATEGORY_INDICES.items()} == SIZES
        assert len({index for indices in CATEGORY_INDICES.values() for index in indices}) == 207

    @pytest.mark.parametrize("category", CLASS_NAMES)
    def test_cover_classes_of_these_names(self, imagenet_names: list[str], category: str):
        assert ", ".join(imagenet_names[i] for i in CATEGORY_INDICES[category]) == CLASS_NAMES[category]

    def test_cover_all_dogs_but_eight(self, imagenet_names: list[str]):
        """From Chihuahua to Mexican hairless, where ImageNet keeps its dogs."""
        dogs = range(imagenet_names.index("Chihuahua") + 1, imagenet_names.index("Mexican hairless") + 1)
        left_out = [imagenet_names[i] for i in dogs if i not in CATEGORY_INDICES["dog"]]
        assert set(CATEGORY_INDICES["dog"]) <= set(dogs)
        assert ", ".join(left_out) == DOGS_LEFT_OUT

    def test_cover_these_birds(self, imagenet_names: list[str]):
        birds = [imagenet_names[i] for i in CATEGORY_INDICES["bird"]]
        assert (birds[0], birds[-1]) == ("hen", "king penguin")
        left_out = {"cock", "ostrich", "jay", "kite", "peacock", "quail", "partridge", "drake", "crane bird"}
        assert left_out <= set(imagenet_names)
        assert not left_out & set(birds)

    def test_of_every_class(self):
        categories = category_of(np.arange(1000))
        for category, name in enumerate(CATEGORIES):
            assert tuple(np.flatnonzero(categories == category)) == CATEGORY_INDICES[name]
        assert (categories == NO_CATEGORY).sum() == 793

    def test_of_keeps_the_shape(self):
        assert category_of(np.array([[404, 0], [294, 444]])).tolist() == [[AIRPLANE, NO_CATEGORY], [BEAR, BICYCLE]]

    @pytest.mark.parametrize("index", [-1, 1000])
    def test_of_refuses_what_is_no_class(self, index: int):
        with pytest.raises(ValueError, match=f"from 0 to 999, got {index}"):
            category_of(np.array([404, index]))


class TestDecisions:
    def test_by_class_looks_the_category_up(self):
        assert decide_by_class(np.array([404, 297, 671, 152])).tolist() == [AIRPLANE, BEAR, BICYCLE, DOG]

    def test_by_class_refuses_an_argmax_over_all_classes(self):
        with pytest.raises(ValueError, match="2 predictions, the first of class 151, belong to no category"):
            decide_by_class(np.array([404, 151, 0]))

    def test_by_category_takes_the_likeliest(self):
        probabilities = np.full((2, 16), 0.01)
        probabilities[0, BEAR] = probabilities[1, DOG] = 0.2
        assert decide_by_category(probabilities).tolist() == [BEAR, DOG]

    def test_by_category_takes_the_first_of_equals(self):
        probabilities = np.zeros((1, 16))
        assert decide_by_category(probabilities).tolist() == [AIRPLANE]
        probabilities[0, [BICYCLE, DOG]] = 0.1
        assert decide_by_category(probabilities).tolist() == [BICYCLE]

    def test_the_rules_differ_where_a_large_category_has_one_strong_class(self):
        """0.5 on one of 109 dogs is 0.0046 on average, which 0.2 on each of two bicycles is above."""
        probabilities = np.zeros((1, 1000))
        probabilities[0, 200] = 0.5
        probabilities[0, list(CATEGORY_INDICES["bicycle"])] = 0.2
        means = np.stack([probabilities[:, list(i)].mean(axis=1) for i in CATEGORY_INDICES.values()], axis=1)
        assert decide_by_class(probabilities.argmax(axis=1)).tolist() == [DOG]
        assert decide_by_category(means).tolist() == [BICYCLE]

    @pytest.mark.parametrize(
        ("probabilities", "message"),
        [
            (np.zeros((3, 1000)), r"must have the shape \(images, 16\), got \(3, 1000\)"),
            (np.zeros(16), r"must have the shape \(images, 16\)"),
            (np.full((3, 16), np.nan), "probabilities, not logits"),
            (np.full((3, 16), -4.0), "probabilities, not logits"),
        ],
        ids=["classes", "flat", "nan", "logits"],
    )
    def test_by_category_refuses(self, probabilities: npt.NDArray[np.float64], message: str):
        with pytest.raises(ValueError, match=message):
            decide_by_category(probabilities)

    def test_of_no_image(self):
        with pytest.raises(NotMeasured, match="is empty"):
            decide_by_class(np.zeros(0, dtype=np.int64))
        with pytest.raises(NotMeasured, match="is empty"):
            decide_by_category(np.zeros((0, 16)))


class TestShapeBias:
    def test_hand_worked(self):
        """Two for the shape, one for the texture, one for neither, one without an answer."""
        shapes, textures = np.full(5, BEAR), np.full(5, DOG)
        bias = shape_bias(np.array([BEAR, BEAR, DOG, AIRPLANE, NO_CATEGORY]), shapes, textures)
        assert bias == (2, 1, 5, 2 / 3)

    def test_of_one_that_sees_shapes_only_is_one_and_textures_only_zero(self):
        shapes, textures = np.arange(16), np.roll(np.arange(16), 1)
        assert shape_bias(shapes, shapes, textures).value == 1.0
        assert shape_bias(textures, shapes, textures).value == 0.0

    def test_an_image_without_conflict_counts_as_both(self):
        conflict_and_not = np.array([BEAR, BICYCLE])
        assert shape_bias(conflict_and_not, conflict_and_not, np.array([DOG, BICYCLE])) == (2, 1, 2, 2 / 3)

    def test_swapping_shape_and_texture_mirrors_it(self):
        rng = np.random.default_rng(0)
        decisions, shapes, textures = rng.integers(0, 16, (3, 400))
        bias, mirrored = shape_bias(decisions, shapes, textures), shape_bias(decisions, textures, shapes)
        assert bias.shape_hits == mirrored.texture_hits
        assert bias.value + mirrored.value == pytest.approx(1.0)

    def test_has_no_value_without_a_hit(self):
        with pytest.raises(NotMeasured, match="none of 2 images was decided for its shape or its texture"):
            shape_bias(np.array([AIRPLANE, NO_CATEGORY]), np.full(2, BEAR), np.full(2, DOG))

    def test_has_no_value_without_an_image(self):
        nothing = np.zeros(0, dtype=np.int64)
        with pytest.raises(NotMeasured, match="is empty"):
            shape_bias(nothing, nothing, nothing)

    @pytest.mark.parametrize(
        ("decisions", "shapes", "textures", "message"),
        [
            ([0, 1], [0], [1], "decisions has 2, shapes has 1"),
            ([404], [0], [1], "decisions must be category indices from -1 to 15"),
            ([0], [NO_CATEGORY], [1], "shapes must be category indices from 0 to 15"),
            ([0], [0], [16], "textures must be category indices from 0 to 15"),
            (["bear"], ["bear"], ["dog"], "decisions must be of kind integer"),
        ],
        ids=["lengths", "class-for-category", "no-shape", "no-texture", "names"],
    )
    def test_refuses(self, decisions, shapes, textures, message: str):
        with pytest.raises(ValueError, match=message):
            shape_bias(np.array(decisions), np.array(shapes), np.array(textures))

    @pytest.mark.parametrize(
        ("shape_hits", "hits", "published"),
        [
            (183, 707, 0.2588401697),
            (286, 732, 0.3907103825),
            (316, 740, 0.4270270270),
            (303, 747, 0.4056224900),
            (330, 771, 0.4280155642),
        ],
        ids=["32x8d", "32x8d_wsl", "32x16d_wsl", "32x32d_wsl", "32x48d_wsl"],
    )
    def test_published_counts_give_the_published_fractions(self, shape_hits: int, hits: int, published: float):
        """Of 1201 images; the fractions are the author's raw results."""
        decisions = np.repeat([BEAR, DOG, AIRPLANE], [shape_hits, hits - shape_hits, 1201 - hits])
        bias = shape_bias(decisions, np.full(1201, BEAR), np.full(1201, DOG))
        assert bias[:3] == (shape_hits, hits - shape_hits, 1201)
        assert bias.value == pytest.approx(published, abs=1e-10, rel=0)


HUMANS = tuple(f"subject-{i:02}" for i in range(1, 11))


@pytest.mark.parametrize(
    ("experiment", "observers", "shape_hits", "texture_hits", "printed"),
    [
        ("style-transfer-512-nomask-experiment", HUMANS, 9236, 398, 0.9587),
        ("style-transfer-512-nomask-experiment-trained-CNNs", ("resnet50",), 162, 572, 0.2207),
        ("style-transfer-512-nomask-experiment-trained-CNNs", ("resnet50-train-60-epochs",), 586, 141, 0.8061),
    ],
    ids=["humans", "ResNet-50", "Shape-ResNet-50"],
)
def test_published_answers_give_the_published_biases(
    published_table, experiment: str, observers: tuple[str, ...], shape_hits: int, texture_hits: int, printed: float
):
    """Raw answers of Geirhos et al. to the 1200 images with conflict; ten humans are taken together."""
    index = {name: i for i, name in enumerate(CATEGORIES)} | {"na": NO_CATEGORY}
    trials = [
        (index[row["object_response"]], index[row["category"]], index[row["texture"]])
        for row in published_table("geirhos_cue_conflict_trials.csv.gz")
        if row["experiment"] == experiment and row["subj"] in observers and row["category"] != row["texture"]
    ]
    bias = shape_bias(*np.array(trials).T)
    assert bias[:3] == (shape_hits, texture_hits, 1200 * len(observers))
    assert bias.value == pytest.approx(printed, abs=0.00005, rel=0)
