"""Summaries of tensors: each against naive sums, and what differs between two classifiers by what was planted."""

import math

import numpy as np
import pytest

from harness.classifiers.tensors import TensorSummary, differences, summarize, summarize_classifier

LAYERS = ("first", "second", "third", "last")


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def state(torch):
    """Four layers with normal weights and biases, and a batch norm's counter."""
    generator = torch.Generator().manual_seed(3)
    shapes = {"first": (32, 3, 3, 3), "second": (64, 32, 3, 3), "third": (64, 64, 1, 1), "last": (1000, 64)}
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = 0.1 * torch.randn(shape, generator=generator)
        state[f"{name}.bias"] = 0.3 + torch.rand(shape[0], generator=generator)
    return {**state, "bn.num_batches_tracked": torch.tensor(7)}


@pytest.fixture(scope="module")
def reference(state):
    return summarize(state)


def rounded(state, dtype):
    return {name: tensor.to(dtype).float() for name, tensor in state.items()}


def on_weights(state, change):
    return {name: change(tensor) if tensor.ndim > 1 else tensor for name, tensor in state.items()}


def with_noise(torch, tensor, share, seed=0):
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(seed))
    return tensor + share * tensor.norm() * noise / noise.norm()


def to_int8(tensor, *, by_channel=False):
    largest = tensor.abs().flatten(1).amax(1) if by_channel else tensor.abs().max().expand(len(tensor))
    step = (largest / 127).reshape(-1, *[1] * (tensor.ndim - 1))
    return (tensor / step).round() * step


def without_smallest(torch, tensor, share):
    bound = tensor.abs().flatten().sort().values[int(share * tensor.numel())]
    return torch.where(tensor.abs() < bound, 0, tensor)


def test_a_summary_is_what_naive_sums_give(torch):
    numbers = [0.5, -1.5, 0.0, 2.0, 0.0, -3.0]
    (found,) = summarize({"w": torch.tensor(numbers).reshape(2, 3)})
    mean = sum(numbers) / 6
    assert (found.name, found.shape, found.count) == ("w", (2, 3), 6)
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(math.sqrt(sum((number - mean) ** 2 for number in numbers) / 6))
    assert found.norm == pytest.approx(math.sqrt(0.25 + 2.25 + 4 + 9))
    assert (found.largest, found.zeros) == (3.0, 2 / 6)
    assert found.sketch == tuple(numbers)
    assert found.channels == ()


def test_a_summary_is_the_same_each_time(state, reference):
    assert summarize(state) == reference
    assert all(isinstance(each, TensorSummary) for each in reference)


def test_counters_of_batches_are_left_out(state, reference):
    assert [each.name for each in reference] == [name for name in state if name != "bn.num_batches_tracked"]


def test_the_squares_of_a_sketch_add_up_to_the_norm_s_on_average(torch):
    tensor = torch.randn(500, generator=torch.Generator().manual_seed(1))
    found = summarize({f"layer{place}": tensor for place in range(400)})
    squares = [sum(number**2 for number in each.sketch) for each in found]
    # The mean of 400 sums of 16 squares, each with a standard deviation of about sqrt(2 / 16): within five of its own.
    assert np.mean(squares) == pytest.approx(float(tensor.square().sum()), rel=5 * math.sqrt(2 / 16 / 400))


def test_sketches_are_linear(torch):
    first, second = torch.randn(2, 5000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    sketches = [np.array(summarize({"w": each})[0].sketch) for each in (first, second, first - 3 * second)]
    assert sketches[2] == pytest.approx(sketches[0] - 3 * sketches[1], abs=1e-9)


def test_a_sketch_goes_on_where_a_part_of_a_large_tensor_ends(torch, monkeypatch):
    tensor = torch.randn(3000, generator=torch.Generator().manual_seed(4))
    whole = summarize({"w": tensor})[0].sketch
    monkeypatch.setattr("harness.classifiers.tensors._AT_ONCE", 1024)
    assert summarize({"w": tensor})[0].sketch == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float16", "float16"), ("bfloat16", "bfloat16"), ("float32", "float32")]
)
def test_the_type_that_weights_were_stored_in_shows_after_they_were_widened(torch, dtype, expected):
    tensor = torch.randn(300, generator=torch.Generator().manual_seed(5)).to(getattr(torch, dtype)).float()
    assert summarize({"w": tensor})[0].dtype == expected


def test_numbers_of_another_kind_keep_their_type(torch):
    found = summarize({"places": torch.arange(4), "w": torch.rand(9, dtype=torch.float64), "none": torch.zeros(0)})
    assert [each.dtype for each in found] == ["int64", "float64", "bfloat16"]
    assert (found[2].count, found[2].norm, found[2].zeros) == (0, 0.0, 0.0)


def test_what_is_not_finite_counts_as_zero(torch):
    (found,) = summarize({"mask": torch.tensor([0.0, -math.inf, math.nan, 2.0])})
    assert (found.norm, found.largest, found.zeros) == (2.0, 2.0, 0.75)


def test_the_same_weights_are_the_same(reference):
    found = differences(reference, reference)
    assert (found.kind, found.precision, found.tensors) == ("same", "", ())
    assert str(found) == "all 8 tensors are the same"


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", "float16"), ("bf16", "bfloat16")])
def test_rounding_is_told_with_its_precision_in_both_directions(torch, state, reference, precision, dtype):
    other = summarize(rounded(state, getattr(torch, dtype)))
    for found in (differences(reference, other), differences(other, reference)):
        assert (found.kind, found.precision, found.tensors) == ("rounded", precision, ())


@pytest.mark.parametrize("by_channel", [False, True])
def test_rounding_to_8_bits_is_told(state, reference, by_channel):
    found = differences(reference, summarize(on_weights(state, lambda each: to_int8(each, by_channel=by_channel))))
    assert (found.kind, found.precision) == ("quantised", "int8")
    assert set(found.tensors) == {f"{name}.weight" for name in LAYERS}
    assert "4 of 8 tensors differ as by rounding to 8 bits: by about " in str(found)


def test_8_bits_stored_in_half_precision_are_told(torch, state, reference):
    found = differences(reference, summarize(rounded(on_weights(state, to_int8), torch.float16)))
    assert (found.kind, found.precision) == ("quantised", "int8")


@pytest.mark.parametrize("is_half", [False, True])
def test_pruning_is_told_with_its_share(torch, state, reference, is_half):
    pruned = on_weights(state, lambda each: without_smallest(torch, each, 0.3))
    found = differences(reference, summarize(rounded(pruned, torch.float16) if is_half else pruned))
    assert (found.kind, found.precision) == ("pruned", "fp16" if is_half else "")
    assert len(found.tensors) == 4
    assert "in that 30 % of their numbers were set to 0" in str(found)


def test_dead_layers_are_told_from_pruned_ones(torch, state, reference):
    dead = {**state, "second.weight": torch.zeros_like(state["second.weight"])}
    assert str(differences(reference, summarize(dead))).startswith("1 of 8 tensors differs in that it is all 0: second")
    dead["first.weight"] = torch.zeros_like(state["first.weight"])
    assert str(differences(reference, summarize(dead))).startswith("2 of 8 tensors differ in that they are all 0: ")


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
def test_one_changed_layer_is_named_with_its_size(torch, state, reference, share):
    changed = {**state, "second.weight": with_noise(torch, state["second.weight"], share)}
    found = differences(reference, summarize(changed))
    assert (found.kind, found.tensors) == ("some", ("second.weight",))
    assert found.changes[0].size == pytest.approx(share, rel=0.5)
    assert str(found).startswith("1 of 8 tensors differs: second.weight by about ")


def test_one_changed_layer_is_named_among_rounded_ones(torch, state, reference):
    changed = {**state, "second.weight": with_noise(torch, state["second.weight"], 0.05)}
    found = differences(reference, summarize(rounded(changed, torch.float16)))
    assert (found.kind, found.precision, found.tensors) == ("some", "fp16", ("second.weight",))
    assert str(found).endswith("; the others are rounded to fp16")


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize(
    ("factor", "size", "words"),
    [
        (0, 1, "second.weight by 100 % of its size (set to 0)"),
        (-1, 2, "second.weight by 200 % of its size (its sign is flipped)"),
        (1.5, 0.5, "second.weight by 50 % of its size (multiplied by 1.5)"),
    ],
)
def test_a_multiple_is_named_exactly(torch, state, reference, kind, factor, size, words):
    changed = {**state, "second.weight": factor * state["second.weight"]}
    found = differences(reference, summarize(rounded(changed, getattr(torch, kind))))
    assert found.tensors == ("second.weight",)
    assert found.changes[0].size == size
    assert words in str(found)
    assert found.changes[0].is_exact


def test_noise_is_no_multiple(torch, state, reference):
    for seed in range(20):
        changed = {**state, "second.weight": with_noise(torch, state["second.weight"], 5e-4, seed)}
        (change,) = differences(reference, summarize(changed)).changes
        assert (change.how, change.is_exact) == ("", False)


def test_the_tensor_that_differs_most_comes_first(torch, state, reference):
    shares = {"first.bias": 0.01, "third.weight": 0.3, "last.weight": 0.05}
    changed = {**state, **{name: with_noise(torch, state[name], share) for name, share in shares.items()}}
    assert differences(reference, summarize(changed)).tensors == ("third.weight", "last.weight", "first.bias")


@pytest.mark.parametrize(("order", "words"), [((2, 1, 0), "BGR"), ((1, 2, 0), "GBR")])
def test_swapped_input_channels_are_named(state, reference, order, words):
    swapped = {**state, "first.weight": state["first.weight"][:, list(order)]}
    found = differences(reference, summarize(swapped))
    assert found.tensors == ("first.weight",)
    assert found.changes[0].how == f"its input channels are {words} instead of RGB"


def test_shifted_labels_are_named(state, reference):
    shifted = {name: tensor.roll(1, 0) if name.startswith("last") else tensor for name, tensor in state.items()}
    found = differences(reference, summarize(shifted))
    assert set(found.tensors) == {"last.weight", "last.bias"}
    assert {change.how for change in found.changes} == {"the same numbers in another order"}


def test_another_training_changes_all(torch, state, reference):
    others = {
        name: 0.1 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(place))
        for place, (name, tensor) in enumerate(state.items())
    }
    found = differences(reference, summarize(others))
    assert (found.kind, len(found.tensors)) == ("all", 8)
    assert all(change.size > 0.5 for change in found.changes)


def test_noise_on_biases_too_is_no_quantisation(torch, state, reference):
    noisy = {
        name: with_noise(torch, tensor, 0.01) if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }
    assert differences(reference, summarize(noisy)).kind == "all"


def test_large_noise_on_weights_is_no_quantisation(torch, state, reference):
    noisy = on_weights(state, lambda tensor: with_noise(torch, tensor, 0.2))
    assert differences(reference, summarize(noisy)).kind == "some"


def test_other_names_and_shapes_are_another_architecture(torch, state, reference):
    other = {name: tensor for name, tensor in state.items() if name != "third.bias"}
    other |= {"last.weight": torch.zeros(10, 64), "extra": torch.zeros(1)}
    found = differences(reference, summarize(other))
    assert (found.kind, found.tensors) == ("other architecture", ())
    assert str(found) == (
        "another architecture: 1 tensor missing (third.bias); 1 tensor too many (extra); "
        "1 tensor of another shape (last.weight is 10x64 instead of 1000x64)"
    )


def test_nothing_is_told_without_tensors(reference):
    assert differences(reference, ()).kind == "unknown"
    assert differences((), reference).kind == "unknown"


def test_a_tensor_of_zeros_may_become_another(torch):
    found = differences(summarize({"w": torch.zeros(4)}), summarize({"w": torch.ones(4)}))
    assert found.changes[0].size == 1.0


def test_a_loaded_classifier_is_summarised_without_its_normalisation():
    from harness.classifiers.loading import load

    found = summarize_classifier(load("python:data_fixtures.classifiers:reads_colours"))
    assert [(each.name, each.shape) for each in found] == [("colours", (1000, 3))]


def test_trainings_of_the_miniature_are_told_apart(request):
    from harness.classifiers.weights import read_state

    folder = request.config.rootpath / "data_fixtures" / "miniature" / "weights"
    states = (read_state(folder / f"{name}.safetensors") for name in ("baseline", "shape", "wsl_4x10d"))
    baseline, shape, wider = map(summarize, states)
    found = differences(baseline, shape)
    assert (found.kind, len(found.tensors)) == ("all", len(baseline))
    assert differences(baseline, wider).kind == "other architecture"


@pytest.mark.real
def test_rounding_of_a_real_checkpoint_is_told(torch, real_checkpoints):
    from harness.classifiers.weights import read_state

    state = read_state(real_checkpoints / "squeezenet1_0_deepcomp.safetensors")
    reference = summarize({name: tensor.float() for name, tensor in state.items()})
    assert {each.dtype for each in reference} <= {"float16", "bfloat16"}
    found = differences(reference, summarize(rounded(state, torch.bfloat16)))
    assert (found.kind, found.precision) == ("rounded", "bf16")
    quantised = on_weights({name: tensor.float() for name, tensor in state.items()}, to_int8)
    assert differences(reference, summarize(quantised)).kind == "quantised"
