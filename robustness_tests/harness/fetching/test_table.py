"""The table of what can be fetched, and the layouts that archives are brought into."""

import re
from urllib.parse import urlsplit

import pytest

from data_fixtures.archives import write_table
from harness.benchmarks.catalog import BENCHMARKS
from harness.classifiers.catalog import CATALOG
from harness.errors import DataError, HarnessError, UsageError
from harness.fetching.table import DIGITS, LAYOUTS, downloads_of, read_table, stimulus_pixels

PUBLISHED = read_table()
# Zenodo's MD5s of ImageNet-C and the MD5 of ImageNet-A, as torch-uncertainty and shift-happens quote them too.
KNOWN_MD5 = {
    ("imagenet-c", "noise.tar"): "e80562d7f6c3f8834afb1ecf27252745",
    ("imagenet-c", "blur.tar"): "2d8e81fdd8e07fef67b9334fa635e45c",
    ("imagenet-c", "weather.tar"): "33ffea4db4d93fe4a428c40a6ce0c25d",
    ("imagenet-c", "digital.tar"): "89157860d7b10d5797849337ca2e5c03",
    ("imagenet-c", "extra.tar"): "d492dfba5fc162d8ec2c3cd8ee672984",
    ("imagenet-a", "imagenet-a.tar"): "c3e55429088dc681f30d81f4726b6595",
}
GOOD = {"name": "imagenet-c", "file": "noise.tar", "address": "https://example.org/noise.tar"}


@pytest.mark.parametrize("item", PUBLISHED, ids=[f"{item.name}/{item.file}" for item in PUBLISHED])
def test_each_row_has_a_secure_address_a_whole_checksum_or_none_and_its_source(item):
    parts = urlsplit(item.address)
    assert (parts.scheme, bool(parts.netloc)) == ("https", True)
    assert item.source
    if item.name in CATALOG:
        assert (item.algorithm, len(item.checksum)) == ("sha256", 8)
    elif item.name == "cue-conflict":
        assert (item.algorithm, item.checksum, item.is_checkable) == ("", "", False)
    else:
        assert re.fullmatch(rf"[0-9a-f]{{{DIGITS[item.algorithm]}}}", item.checksum)


def test_names_are_the_benchmarks_but_imagenet_and_the_short_names_of_classifiers():
    assert {item.name for item in PUBLISHED} == {*LAYOUTS, *CATALOG}
    assert {*LAYOUTS} == {*BENCHMARKS} - {"imagenet"}


@pytest.mark.parametrize("name", CATALOG)
def test_weights_are_those_of_the_catalog(name):
    (item,) = downloads_of(name, PUBLISHED)
    entry = CATALOG[name]
    assert (item.file, item.address, item.checksum) == (entry.file, entry.url, entry.sha256_prefix)


def test_checksums_are_the_published_ones():
    assert {
        (item.name, item.file): item.checksum for item in PUBLISHED if item.name in ("imagenet-c", "imagenet-a")
    } == (KNOWN_MD5)


def test_the_five_archives_of_imagenet_c_hold_its_19_corruptions():
    items = downloads_of("imagenet-c", PUBLISHED)
    assert sorted(folder for item in items for folder in item.unpacks_to) == sorted(LAYOUTS["imagenet-c"].folders)
    assert (len(items), len(LAYOUTS["imagenet-c"].folders)) == (5, 19)
    assert sum(item.size for item in items) == 66_022_818_580


def test_the_recorded_stimuli_are_the_authors_1201_of_which_one_has_no_conflict():
    names = [re.fullmatch(r"([a-z]+)\d+-([a-z]+)\d+", stem).groups() for stem in stimulus_pixels()]
    assert (len(names), sum(shape == texture for shape, texture in names)) == (1201, 1)
    assert "bicycle6-bicycle3" in stimulus_pixels()
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in stimulus_pixels().values())


def test_imagenet_says_where_it_comes_from():
    with pytest.raises(HarnessError, match=r"image-net\.org.*registration.*imagenet/val/<wnid>"):
        downloads_of("imagenet", PUBLISHED)


def test_an_unknown_name_lists_the_known_ones_nearest_first():
    with pytest.raises(UsageError, match="unknown name to fetch 'imagenet_c'; known: imagenet-c"):
        downloads_of("imagenet_c", PUBLISHED)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"address": "ftp://example.org/noise.tar"}, "must begin with https"),
        ({"file": "../noise.tar"}, "must be a plain file name"),
        ({"file": ""}, "name and file must be given"),
        ({"bytes": "21 GB"}, "bytes '21 GB' is not a whole number"),
        ({"checksum": "e80562d7"}, "must both be given"),
        ({"algorithm": "md5"}, "must both be given"),
        ({"algorithm": "crc32", "checksum": "e80562d7"}, "one of md5, sha256"),
        ({"algorithm": "md5", "checksum": "e805"}, "is not 8 to 32 hex digits"),
        ({"algorithm": "md5", "checksum": "e80562d7" * 5}, "is not 8 to 32 hex digits"),
        ({"unpacks_to": "gaussian_noise gausian_blur"}, "'gausian_blur' is no folder of imagenet-c"),
        ({"name": "alexnet", "unpacks_to": "snow"}, "alexnet is no benchmark"),
    ],
    ids=[
        "scheme",
        "path_in_file",
        "no_file",
        "bytes",
        "no_algorithm",
        "no_checksum",
        "unknown_algorithm",
        "short_checksum",
        "long_checksum",
        "unknown_folder",
        "weights_that_unpack",
    ],
)
def test_a_table_of_ones_own_with_a_wrong_row_is_refused_with_its_line(tmp_path, cells, problem):
    path = write_table(tmp_path / "table.csv", {**GOOD, "file": "blur.tar"}, {**GOOD, **cells})
    with pytest.raises(DataError, match=rf"table\.csv, line 3: .*{problem}"):
        read_table(path)


def test_a_table_of_ones_own_is_read_or_refused_as_a_whole(tmp_path):
    (item,) = read_table(write_table(tmp_path / "table.csv", GOOD))
    assert (item.size, item.is_checkable, item.unpacks_to) == (None, False, ())
    with pytest.raises(DataError, match=r"line 3: noise\.tar of imagenet-c is there twice"):
        read_table(write_table(tmp_path / "twice.csv", GOOD, GOOD))
    (tmp_path / "short.csv").write_text("name,file\na,b\n")
    with pytest.raises(DataError, match="has no column address, bytes"):
        read_table(tmp_path / "short.csv")
    with pytest.raises(UsageError, match="can't be read"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("name", "path", "place"),
    [
        ("imagenet-c", "snow/3/n01440764/a.JPEG", ("snow", "3/n01440764/a.JPEG")),
        ("imagenet-c", "./weather/snow/3/n01440764/a.jpeg", ("snow", "3/n01440764/a.jpeg")),
        ("imagenet-c", "snow/6/n01440764/a.JPEG", None),
        ("imagenet-c", "snow/3/n01440764/.a.JPEG", None),
        ("imagenet-c", "snow/3/a.JPEG", None),
        ("imagenet-c", "sleet/3/n01440764/a.JPEG", None),
        ("imagenet-p", "ImageNet-P/tilt/n01440764/a.mp4", ("tilt", "n01440764/a.mp4")),
        ("imagenet-p", "gaussian_noise_2/n01440764/a.mp4", ("gaussian_noise_2", "n01440764/a.mp4")),
        ("imagenet-a", "imagenet-a/n01498041/0.01_a b.jpg", ("n01498041", "0.01_a b.jpg")),
        ("imagenet-a", "imagenet-a/README.txt", None),
        ("imagenet-a", "imagenet-a/n01440764/a.jpg", None),  # a tench: not one of the 200
        (
            "cue-conflict",
            "texture-vs-shape-1/stimuli/style-transfer-preprocessed-512/cat/cat1-dog2.png",
            ("cat", "cat1-dog2.png"),
        ),
        ("cue-conflict", "texture-vs-shape-1/stimuli/original/cat/cat1.png", None),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value else None,
)
def test_paths_in_archives_find_their_place_in_the_layout(name, path, place):
    assert LAYOUTS[name].place(path) == place
