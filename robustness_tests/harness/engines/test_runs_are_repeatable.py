"""Records do not depend on how they were computed: batches, threads, processes, order, interruptions."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from data_fixtures.miniature.study import spec
from harness.benchmarks.catalog import open_benchmark
from harness.engines.measuring import measured
from harness.engines.settings import Settings
from harness.protocols.attacks import Attack
from harness.protocols.needs import benchmark_of
from harness.records.store import RecordStore

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = Settings(workers=0, batch_size=32)
PUBLISHED = Attack("published", ladder=(2, 4))
STANDARD = Attack("standard", ladder=(2, 4), restarts=1)
NEEDS = ("imagenet", "imagenet-c", "imagenet-p", "cue-conflict", PUBLISHED, STANDARD)
IMAGES = {"imagenet": 40, "imagenet-c": 60, "imagenet-p": 8, "cue-conflict": 40, PUBLISHED: 12, STANDARD: 12}

# What is read off a logit or a gradient that is rounded, and so may differ in its last bits.
ROUNDED = {"confidence", "own_confidence", "category_probabilities"}
OF_AN_ATTACK = {"loss_start", "loss_end", "zero_gradient", "moved", "linf", "outside"}


@pytest.fixture
def measure(miniature, tmp_path):
    """Give a function that measures classifiers one after another in a store; gives the records of each."""
    from harness.classifiers.loading import load

    def measure(need, *names, store, load=load, **settings):
        dataset = open_benchmark(benchmark_of(need), miniature)
        how = replace(SETTINGS, **{"images": IMAGES[need], **settings})
        found = {}
        for name in names:
            ((run, images),) = measured(dataset, need, [spec(name)], load, RecordStore(tmp_path / store), how)
            parts = list(run.read(images))
            found[name] = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
        return found

    return measure


@pytest.fixture(scope="module")
def threads():
    """Give torch's function that sets the number of threads, and set one again afterwards."""
    import torch

    yield torch.set_num_threads
    torch.set_num_threads(1)


def assert_alike(first, second):
    """See that what was predicted is the same bit for bit, and how surely nearly so."""
    assert set(first) == set(second)
    for name, values in first.items():
        if name in ROUNDED | OF_AN_ATTACK:
            np.testing.assert_allclose(
                values, second[name], rtol=1e-3 * (name in OF_AN_ATTACK), atol=1e-5, err_msg=name
            )
        else:
            assert np.array_equal(values, second[name]), name


def assert_same(first, second):
    for name, values in first.items():
        assert np.array_equal(values, second[name], equal_nan=values.dtype.kind == "f"), name


def name_of(need):
    return need if isinstance(need, str) else need.name


@pytest.mark.parametrize("need", NEEDS, ids=name_of)
def test_records_do_not_depend_on_batches_threads_or_decoding_processes(need, measure, threads):
    (expected,) = measure(need, "baseline", store="expected").values()
    assert len(expected["position"]) == IMAGES[need]
    for batch_size, count, workers in [(1, 1, 0), (7, 2, 2), (32, 2, 0)]:
        threads(count)
        store = f"{batch_size}-{count}-{workers}"
        (found,) = measure(need, "baseline", store=store, batch_size=batch_size, workers=workers).values()
        assert_alike(expected, found)


@pytest.mark.parametrize("need", NEEDS, ids=name_of)
def test_records_do_not_depend_on_which_classifier_comes_first(need, measure):
    first, second = (
        measure(need, *names, store="-".join(names)) for names in permutations(["baseline", "adversarial"])
    )
    for name, records in first.items():
        assert_same(records, second[name])


@pytest.mark.parametrize("need", NEEDS, ids=name_of)
def test_records_do_not_depend_on_an_interruption(need, measure):
    from harness.classifiers.loading import load

    seen = []

    def count(module, inputs, output):
        seen.append(len(inputs[0]))

    def interrupt(module, inputs, output):
        count(module, inputs, output)
        if sum(seen) > stop:
            raise KeyboardInterrupt

    def hooked(hook):
        def load_hooked(spec):
            classifier = load(spec)
            classifier.module.register_forward_hook(hook)
            return classifier

        return load_hooked

    (expected,) = measure(need, "baseline", store="expected", load=hooked(count), batch_size=7).values()
    whole, stop = sum(seen), sum(seen) / 2
    seen.clear()
    with pytest.raises(KeyboardInterrupt):
        measure(need, "baseline", store="interrupted", load=hooked(interrupt), batch_size=7)
    seen.clear()
    (found,) = measure(need, "baseline", store="interrupted", load=hooked(count), batch_size=7).values()
    # Images under attack are done nearly all at once, at the end.
    assert sum(seen) < whole or isinstance(need, Attack)
    assert_alike(expected, found)
