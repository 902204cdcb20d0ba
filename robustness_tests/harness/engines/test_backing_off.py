"""Where memory runs out, images are asked about in smaller parts: none is lost, none asked about twice."""

import numpy as np
import pytest

from harness.benchmarks.batches import Batch
from harness.engines.backing_off import BackingOff, in_parts
from harness.errors import NonFinite


def batch_of(frames):
    """Pairs of so many frames each; every frame's pixels are the number of its pair."""
    import torch

    pixels = torch.cat([torch.full((count, 3, 2, 2), pair, dtype=torch.uint8) for pair, count in enumerate(frames)])
    return Batch(list(range(len(frames))), pixels, list(frames), [None] * len(frames))


class Device:
    """Has memory for some images at once."""

    def __init__(self, room, error=None):
        import torch

        self.room, self.asked = room, []
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def __call__(self, batch, labels, names):
        if len(batch.indices) > self.room:
            raise self.error
        self.asked.append(len(batch.indices))
        firsts = batch.pixels[np.cumsum([0, *batch.frames[:-1]]), 0, 0, 0].numpy()
        assert len(batch.pixels) == sum(batch.frames)
        assert names == [str(index) for index in batch.indices]
        own = {"index": np.array(batch.indices), "seen": firsts, "label": labels}
        return lambda: [own, {"index": -own["index"]}]


def ask(backing_off, batch):
    pairs = len(batch.indices)
    return backing_off(batch, np.arange(pairs, dtype=np.int16), [str(index) for index in batch.indices])()


@pytest.mark.parametrize("frames", [[1] * 10, [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]], ids=["images", "sequences"])
@pytest.mark.parametrize(
    ("room", "asked"),
    [(10, [10]), (9, [5, 5]), (4, [2, 3, 4, 1]), (3, [2, 3, 3, 2]), (1, [1] * 10)],
    ids=lambda value: str(value),
)
def test_every_image_is_asked_about_once_in_order(frames, room, asked):
    device = Device(room)
    first, second = ask(BackingOff(device, "a"), batch_of(frames))
    for name in ("index", "seen", "label"):
        assert first[name].tolist() == list(range(10))
    assert second["index"].tolist() == [-place for place in range(10)]
    assert device.asked == asked


@pytest.mark.parametrize(("room", "found"), [(200, 192), (100, 96), (255, 240), (3, 3), (1, 1)])
def test_later_batches_are_asked_about_in_the_largest_parts_that_fit(room, found, caplog):
    device = Device(room)
    backing_off = BackingOff(device, "a")
    for _ in range(12):
        ask(backing_off, batch_of([1] * 256))
    assert device.asked[-2:] == [found, 256 % found] if 256 % found else [found, found]
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "a: no memory for 256 images at once, going on with 128 (--batch-size)"
    assert len(told) == len(set(told)) <= 9


def test_what_fitted_once_and_does_no_longer_is_looked_for_anew():
    device = Device(12)
    backing_off = BackingOff(device, "a")
    ask(backing_off, batch_of([1] * 16))
    device.room, device.asked = 5, []
    for _ in range(4):
        ask(backing_off, batch_of([1] * 10))
    assert device.asked[-2:] == [5, 5]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")]
)
def test_the_machines_own_memory_is_treated_alike(error):
    assert ask(BackingOff(Device(2, error), "a"), batch_of([1] * 4))[0]["index"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(("room", "asked"), [(10, [10]), (9, [5, 5]), (4, [3, 2, 3, 2]), (1, [1] * 10)])
def test_images_alone_are_asked_about_in_halves(room, asked):
    import torch

    def ask_about(images):
        if len(images) > room:
            raise torch.OutOfMemoryError
        return images.tolist()

    found = list(in_parts(ask_about, torch.arange(10)))
    assert [len(part) for part in found] == asked
    assert [image for part in found for image in part] == list(range(10))


def test_what_does_not_fit_alone_is_told():
    import torch

    with pytest.raises(torch.OutOfMemoryError):
        ask(BackingOff(Device(0), "a"), batch_of([1] * 4))
    with pytest.raises(MemoryError):
        list(in_parts(lambda images: bytearray(2**62), torch.arange(4)))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    device = Device(2, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        ask(BackingOff(device, "a"), batch_of([1] * 4))
    assert device.asked == []


@pytest.mark.parametrize("is_late", [False, True])
def test_the_image_that_gives_nan_is_named_by_its_place_in_the_batch(is_late):
    import torch

    def look(batch):
        if 6 in batch.indices:
            raise NonFinite("logits", batch.indices.index(6))
        return [{"index": np.array(batch.indices)}]

    def examine(batch, labels, names):
        if len(batch.indices) > 3:
            raise torch.OutOfMemoryError
        if is_late:
            return lambda: look(batch)
        found = look(batch)
        return lambda: found

    with pytest.raises(NonFinite) as caught:
        ask(BackingOff(examine, "a"), batch_of([1] * 12))
    assert caught.value.place == 6
