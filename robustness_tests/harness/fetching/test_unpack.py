"""Unpacking: what belongs to the benchmark, safely, and a manifest of what came out."""

import errno
import hashlib
import io
import os
import stat
import tarfile
import zipfile

import pytest

from data_fixtures.archives import tar_bytes, zip_bytes
from harness.errors import DataError, HarnessError
from harness.fetching import unpack as module
from harness.fetching.table import LAYOUTS
from harness.fetching.unpack import Count, Manifest, read_manifest, unpack

pytestmark = pytest.mark.usefixtures("unsynced")

LAYOUT = LAYOUTS["imagenet-c"]
FILES = {
    "snow/1/n01440764/a.JPEG": b"one",
    "snow/1/n01440764/A.JPEG": b"only its case differs",
    "snow/2/n01440764/a.JPEG": b"",
    "fog/1/n01440764/a.JPEG": b"x" * 3_000_000,
}


def unpacked(folder, data, *, name="weather.tar", **options):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    staging = folder / "staging"
    staging.mkdir()
    return unpack(folder / name, LAYOUT, staging, **options)


def files_in(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def member(name, kind=tarfile.SYMTYPE, target="", mode=0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"], ids=["tar", "gz", "bz2", "xz"])
@pytest.mark.parametrize("around", ["", "./", "weather/", "a/b/"], ids=["bare", "dot", "folder", "folders"])
def test_files_come_out_in_the_layout_whatever_folders_are_around_them(tmp_path, mode, around):
    data = tar_bytes({around + path: content for path, content in FILES.items()}, mode=mode)
    manifest = unpacked(tmp_path, data)
    assert files_in(tmp_path / "staging") == FILES
    assert manifest.folders == {"fog": Count(1, 3_000_000), "snow": Count(3, 24)}
    assert manifest.sample == {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}
    assert manifest.left_out == 0


def test_a_zip_comes_out_like_a_tar(tmp_path):
    manifest = unpacked(tmp_path, zip_bytes({**FILES, "README.md": b"read me"}), name="weather.zip")
    assert files_in(tmp_path / "staging") == FILES
    assert (manifest.left_out, manifest.folders["snow"]) == (1, Count(3, 24))


def test_what_does_not_belong_to_the_benchmark_is_left_out_and_counted(tmp_path):
    inside = member("snow/1/n01440764/link.JPEG", target="a.JPEG")
    odd = {"README": b"", "snow/.DS_Store": b"", "snow/1/n01440764/._a.JPEG": b"", "sleet/1/n01440764/a.JPEG": b""}
    manifest = unpacked(tmp_path, tar_bytes({**FILES, **odd}, member("snow", tarfile.DIRTYPE), inside))
    assert files_in(tmp_path / "staging") == FILES
    assert manifest.left_out == 5  # the four files and the link, not the folder


def test_folders_that_are_not_wanted_are_passed_over(tmp_path):
    manifest = unpacked(tmp_path, tar_bytes(FILES), skipped={"snow"})
    assert list(files_in(tmp_path / "staging")) == ["fog/1/n01440764/a.JPEG"]
    assert list(manifest.folders) == ["fog"]


def test_modes_and_owners_of_an_archive_do_not_reach_the_disk(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = member("snow/1/n01440764/a.JPEG", tarfile.REGTYPE, mode=0o6777)
        info.uid = 12345
        tar.addfile(info)
    unpacked(tmp_path, buffer.getvalue())
    found = (tmp_path / "staging/snow/1/n01440764/a.JPEG").stat()
    assert (stat.S_IMODE(found.st_mode) & 0o7111, found.st_uid) == (0, os.getuid())


INSIDE = "snow/1/n01440764"


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        pytest.param(member("/etc/evil", tarfile.REGTYPE), "leads out of it", id="absolute"),
        pytest.param(member("../evil", tarfile.REGTYPE), "leads out of it", id="up"),
        pytest.param(member(f"{INSIDE}/../../../../evil", tarfile.REGTYPE), "leads out of it", id="up_from_within"),
        pytest.param(member(f"{INSIDE}/../b.JPEG", tarfile.REGTYPE), "leads out of it", id="up_but_inside"),
        pytest.param(member("..\\evil", tarfile.REGTYPE), "leads out of it", id="up_on_windows"),
        pytest.param(member("C:\\evil", tarfile.REGTYPE), "leads out of it", id="absolute_on_windows"),
        pytest.param(
            member(f"{INSIDE}/b.JPEG", target="/etc/passwd"), "is a link that leads out", id="symlink_absolute"
        ),
        pytest.param(member(f"{INSIDE}/b.JPEG", target="../" * 4 + "x"), "is a link that leads out", id="symlink_up"),
        pytest.param(member("anything", target="../x"), "is a link that leads out", id="symlink_elsewhere"),
        pytest.param(member(f"{INSIDE}/b.JPEG", tarfile.LNKTYPE, "../x"), "is a link that leads out", id="hardlink_up"),
        pytest.param(
            member(f"{INSIDE}/b.JPEG", tarfile.LNKTYPE, "/x"), "is a link that leads out", id="hardlink_absolute"
        ),
        pytest.param(member(f"{INSIDE}/b.JPEG", tarfile.CHRTYPE), "is a device", id="character_device"),
        pytest.param(member(f"{INSIDE}/b.JPEG", tarfile.BLKTYPE), "is a device", id="block_device"),
        pytest.param(member(f"{INSIDE}/b.JPEG", tarfile.FIFOTYPE), "is a device", id="fifo"),
        pytest.param(member(f"{INSIDE}/a.JPEG", tarfile.REGTYPE), "is in it twice", id="twice"),
        pytest.param(
            member(f"weather/{INSIDE}/a.JPEG", tarfile.REGTYPE), "is in it twice", id="twice_from_two_folders"
        ),
    ],
)
def test_a_tar_that_is_not_to_be_trusted_is_refused(tmp_path, odd, message):
    before = {path for path in tmp_path.parent.rglob("*") if tmp_path not in path.parents}
    with pytest.raises(DataError, match=rf"weather\.tar is refused, nothing of it is kept.*{message}"):
        unpacked(tmp_path, tar_bytes(FILES, odd))
    assert {path for path in tmp_path.parent.rglob("*") if tmp_path not in path.parents} == before
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize(
    ("path", "content", "mode", "message"),
    [
        ("../evil", b"", 0, "leads out of it"),
        ("/evil", b"", 0, "leads out of it"),
        (f"{INSIDE}/b.JPEG", b"../../../../x", stat.S_IFLNK | 0o777, "is a link that leads out of it"),
        (f"{INSIDE}/b.JPEG", b"/etc/passwd", stat.S_IFLNK | 0o777, "is a link that leads out of it"),
        (f"x/{INSIDE}/a.JPEG", b"", 0, "is in it twice"),
    ],
    ids=["up", "absolute", "symlink_up", "symlink_absolute", "twice"],
)
def test_a_zip_that_is_not_to_be_trusted_is_refused(tmp_path, path, content, mode, message):
    buffer = io.BytesIO(zip_bytes(FILES))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo(path)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    with pytest.raises(DataError, match=rf"weather\.zip is refused, nothing of it is kept.*{message}"):
        unpacked(tmp_path, buffer.getvalue(), name="weather.zip")


def damaged(data, place):
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("weather.tar", b""),
        ("weather.tar", b"<html>not found</html>" * 100),
        ("weather.tar", tar_bytes(FILES)[:2_000_000]),
        ("weather.tar", tar_bytes(FILES)[:1024]),
        ("weather.tar", tar_bytes(FILES)[:1300]),
        ("weather.tar", damaged(tar_bytes(FILES), 1024)),
        ("weather.tar", tar_bytes(FILES, mode="w:gz")[:-3000]),
        ("weather.tar", damaged(tar_bytes(FILES, mode="w:gz"), 200)),
        ("weather.tar", damaged(tar_bytes(FILES, mode="w:gz"), -6)),
        ("weather.tar", damaged(tar_bytes(FILES, mode="w:xz"), 200)),
        ("weather.zip", b"PK"),
        ("weather.zip", zip_bytes(FILES)[:-100]),
        ("weather.zip", damaged(zip_bytes(FILES), 1_000_000)),
    ],
    ids=[
        "empty",
        "page",
        "cut",
        "cut_at_a_member",
        "cut_in_a_header",
        "damaged_header",
        "cut_gz",
        "damaged_gz",
        "wrong_checksum_gz",
        "damaged_xz",
        "no_zip",
        "cut_zip",
        "damaged_zip",
    ],
)
def test_a_damaged_archive_is_one_line(tmp_path, name, data):
    with pytest.raises(DataError, match=rf"{name} is damaged \([^\n]*\); run the same command again"):
        unpacked(tmp_path, data, name=name)


def test_a_checked_archive_may_end_as_it_likes(tmp_path):
    assert unpacked(tmp_path, tar_bytes(FILES)[:1024], is_checked=True).folders == {"snow": Count(1, 3)}


def test_an_archive_of_something_else_is_said_to_be_so(tmp_path):
    with pytest.raises(DataError, match=r"holds none of gaussian_noise, .*not what was published"):
        unpacked(tmp_path, tar_bytes({"imagenet-r/n01440764/a.jpg": b""}))


def test_a_full_disk_says_how_much_more_is_needed(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        name = "a.JPEG"

        def write(self, _):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module._Writer, "_create", lambda *_: Full())
    with pytest.raises(
        HarnessError, match=r"no space left .*about 3\.01 MB more are needed, the archive .* kept.*goes on"
    ):
        unpacked(tmp_path, tar_bytes(FILES))


def test_a_folder_that_can_not_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module.Path, "mkdir", lambda *_, **__: os.open("/nowhere/at/all", os.O_RDONLY))
    (tmp_path / "weather.tar").write_bytes(tar_bytes(FILES))
    with pytest.raises(HarnessError, match=r"a\.JPEG can't be written \(No such file or directory\)"):
        unpack(tmp_path / "weather.tar", LAYOUT, tmp_path / "staging")


def test_the_sample_has_a_fixed_size_is_of_the_files_and_depends_on_the_seed_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SAMPLE", 20)
    files = {f"snow/1/n01440764/{place:03d}.JPEG": str(place).encode() for place in range(200)}
    samples = [
        unpacked(tmp_path / str(trial), tar_bytes(files), seed=seed).sample
        for trial, seed in enumerate((0, 0, 1, 2, 3))
    ]
    assert samples[0] == samples[1]
    assert samples[0] != samples[2]
    for sample in samples:
        assert len(sample) == 20
        assert all(hashlib.sha256(files[path]).hexdigest() == value for path, value in sample.items())
    # Of 80 draws, 40 are expected from either half; fewer than 20 come up once in 300,000 times.
    late = sum(path >= "snow/1/n01440764/100" for sample in samples[1:] for path in sample)
    assert 20 <= late <= 60


def test_a_manifest_is_read_as_it_was_written_and_a_broken_one_is_none(tmp_path):
    manifest = Manifest("noise.tar", "https://example.org", "md5:ab", {"snow": Count(2, 10)}, {"snow/a": "ff"}, 3)
    manifest.write(tmp_path / "new" / "noise.tar.json")
    assert read_manifest(tmp_path / "new" / "noise.tar.json") == manifest
    assert read_manifest(tmp_path / "none.json") is None
    for number, text in enumerate(["{", "[]", "{}", '{"folders": {"snow": 1}}', '{"folders": {}}']):
        (tmp_path / f"{number}.json").write_text(text)
        assert read_manifest(tmp_path / f"{number}.json") is None


def test_manifests_of_one_archive_are_put_together_by_folder():
    old = Manifest("a", "x", "", {"snow": Count(1, 1), "fog": Count(2, 2)}, {"snow/a": "1", "fog/b": "2"})
    new = Manifest("a", "x", "", {"fog": Count(3, 3)}, {"fog/c": "3"})
    both = new.and_also(old.only({"snow"}))
    assert both.folders == {"snow": Count(1, 1), "fog": Count(3, 3)}
    assert both.sample == {"snow/a": "1", "fog/c": "3"}
