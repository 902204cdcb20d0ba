"""Classifiers with other classes: a file of wnids says which logits are ImageNet's."""

import pytest

from harness.benchmarks.classes import class_index
from harness.classifiers.spec import parse_spec
from harness.errors import UsageError

SORTED = list(class_index())


def write(path, wnids):
    path.write_text("\n".join(wnids) + "\n", encoding="utf-8")
    return path


def classifier(spec):
    """One whose logit i is i, for every image."""
    import torch
    from torch import nn

    from harness.classifiers.classifier import Classifier

    class Counts(nn.Module):
        def forward(self, batch):
            return torch.arange(float(spec.preprocessing.classes)).expand(len(batch), -1)

    return Classifier.freeze(spec, Counts(), "0" * 64, "cpu")


def picked(path):
    import torch

    spec = parse_spec(f"python:a.module:build?wnids={path}")
    return spec, [int(place) for place in classifier(spec).logits(torch.rand(1, 3, 4, 4))[0]]


def test_a_permutation_is_undone(tmp_path):
    spec, places = picked(write(tmp_path / "w.txt", reversed(SORTED)))
    assert spec.preprocessing.classes == 1000
    assert places == list(range(999, -1, -1))


def test_background_and_other_classes_are_dropped(tmp_path):
    wnids = ["background", *SORTED[:500], "n00000001", "n00000001", *SORTED[500:], "n99999999"]
    spec, places = picked(write(tmp_path / "w.txt", wnids))
    assert spec.preprocessing.classes == 1004
    assert places == [*range(1, 501), *range(503, 1003)]


def test_only_the_first_word_of_a_line_counts_and_comments_do_not(tmp_path):
    lines = ["# classes of the model", "", *(f"  {wnid} a name, another # of it" for wnid in SORTED), "   "]
    _, places = picked(write(tmp_path / "w.txt", lines))
    assert places == list(range(1000))


def refusal(text):
    with pytest.raises(UsageError) as caught:
        parse_spec(text)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_classes_are_counted_and_the_first_three_named(tmp_path):
    path = write(tmp_path / "w.txt", SORTED[5:])
    line = refusal(f"timm:a@w.pth?wnids={path}")
    assert f"wnids={path}: 5 of ImageNet's 1000 wnids are missing ({', '.join(SORTED[:3])}, ...)" in line


def test_a_class_that_is_named_twice_is_refused(tmp_path):
    path = write(tmp_path / "w.txt", [*SORTED, SORTED[7], "n00000001", "n00000001"])
    assert f"1 wnids are named twice ({SORTED[7]})" in refusal(f"alexnet?wnids={path}")


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    (tmp_path / "w.bin").write_bytes(b"\xff\xfe\x00")
    assert "w.txt: can't be read (No such file or directory)" in refusal(f"alexnet?wnids={tmp_path / 'w.txt'}")
    assert "w.bin: can't be read (it is not text)" in refusal(f"alexnet?wnids={tmp_path / 'w.bin'}")
    assert "expected a text file" in refusal("alexnet?wnids=")


def test_a_number_of_classes_beside_it_must_be_that_of_its_lines(tmp_path):
    path = write(tmp_path / "w.txt", [*SORTED, "n00000001"])
    assert parse_spec(f"alexnet?classes=1001&wnids={path}").preprocessing.classes == 1001
    assert "classes=1000, but the file of wnids has 1001" in refusal(f"alexnet?classes=1000&wnids={path}")
    assert "name a file of wnids by ?wnids=FILE" in refusal("alexnet?classes=21843")


def test_the_mapping_and_not_the_path_is_what_records_are_found_by(tmp_path):
    from harness.classifiers.loading import identity

    def named(path):
        return identity(parse_spec(f"alexnet?wnids={path}"))

    plain = write(tmp_path / "a.txt", SORTED)
    commented = write(tmp_path / "b.txt", ["# the same", *(f"{wnid} name" for wnid in SORTED)])
    other = write(tmp_path / "c.txt", reversed(SORTED))
    assert named(plain) == named(commented)
    assert named(plain) != named(other)
    assert "wnids" not in identity(parse_spec("alexnet"))


def test_an_architecture_is_built_with_as_many_classes_as_the_file_has(tmp_path):
    import torch

    from harness.classifiers.loading import load
    from harness.torchvision_ops import import_torchvision

    torch.manual_seed(0)
    model = import_torchvision().models.get_model("squeezenet1_1", weights=None, num_classes=1003).eval()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    path = write(tmp_path / "w.txt", ["a", "b", "c", *reversed(SORTED)])
    loaded = load(f"torchvision:squeezenet1_1@{tmp_path / 'w.pth'}?wnids={path}&mean=0,0,0&std=1,1,1")
    images = torch.rand(2, 3, 40, 40)
    torch.testing.assert_close(loaded.logits(images), model(images)[:, 3:].flip(1).detach())
