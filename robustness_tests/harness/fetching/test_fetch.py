"""Fetching by name: everything in place or nothing, whatever happens on the way, and the same command goes on."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple

import pytest

from data_fixtures.archives import corruption_files, image_bytes, row, tar_bytes, write_table, zip_bytes
from data_fixtures.server import HONEST, Answer, FaultyServer, wait_until
from harness.benchmarks.catalog import DataRoots
from harness.classifiers.catalog import CATALOG
from harness.errors import DataError, DataMissing, HarnessError, UsageError
from harness.fetching import fetch as module
from harness.fetching.fetch import WORKSHOP, fetch, target_folder
from harness.fetching.unpack import read_manifest

pytestmark = pytest.mark.usefixtures("unsynced")

WNIDS = ("n01440764", "n01443537")
BLUR, NOISE = ("glass_blur", "zoom_blur"), ("shot_noise",)
FILES = {"blur.tar": corruption_files(BLUR, WNIDS), "noise.tar": corruption_files(NOISE, WNIDS)}
ARCHIVES = {"blur.tar": tar_bytes(FILES["blur.tar"]), "noise.tar": tar_bytes(FILES["noise.tar"], mode="w:gz")}
ALL = {**FILES["blur.tar"], **FILES["noise.tar"]}


class Site:
    """A server of two archives of ImageNet-C and a table of what it has, which names it or another place."""

    def __init__(self, server, folder):
        self.server, self.to = server, folder / "imagenet-c"
        self.table = self.table_of(server.address)

    def table_of(self, address, **changes):
        rows = [
            {**row("imagenet-c", file, f"{address}/{file}", ARCHIVES[file], folders), **changes.get(file[:4], {})}
            for file, folders in (("blur.tar", BLUR), ("noise.tar", NOISE))
        ]
        return write_table(self.to.parent / "table.csv", *rows)

    def fetch(self, patience, **options):
        return fetch("imagenet-c", self.to, **{"table": self.table, "patience": patience, **options})

    def asked(self):
        return [(asked.path, asked.first) for asked in self.server.asked]

    def published(self):
        """Give the files under published names, by path."""
        return {
            path.relative_to(self.to).as_posix(): path.read_bytes()
            for path in self.to.rglob("*")
            if path.is_file() and WORKSHOP not in path.parts
        }

    def workshop(self):
        return {path.relative_to(self.to / WORKSHOP).as_posix() for path in (self.to / WORKSHOP).rglob("*")} - {"lock"}


@pytest.fixture
def site(tmp_path):
    with FaultyServer({f"/{file}": data for file, data in ARCHIVES.items()}) as server:
        yield Site(server, tmp_path)


DONE = {"manifest", "manifest/blur.tar.json", "manifest/noise.tar.json", "unpacked"}


def test_archives_come_into_place_and_are_deleted(site, hasty):
    fetched = site.fetch(hasty)
    assert site.published() == ALL
    assert site.workshop() == DONE
    assert [path.name for path in fetched.places] == ["shot_noise", "glass_blur", "zoom_blur"]
    assert f"use it with --data imagenet-c={site.to}" in fetched.notes[-1]
    assert "no archive held gaussian_noise" in fetched.notes[-2]
    manifest = read_manifest(site.to / WORKSHOP / "manifest" / "blur.tar.json")
    assert (manifest.address, manifest.checksum[:4]) == (f"{site.server.address}/blur.tar", "md5:")
    assert {name: count.files for name, count in manifest.folders.items()} == {"glass_blur": 10, "zoom_blur": 10}


def test_the_same_command_again_asks_for_nothing(site, hasty):
    site.fetch(hasty)
    site.server.asked.clear()
    fetched = site.fetch(hasty)
    assert site.asked() == []
    assert [note for note in fetched.notes if "already" in note] == [
        "blur.tar: it was fetched already",
        "noise.tar: it was fetched already",
    ]


def test_archives_are_kept_if_asked_for_and_used_again(site, hasty):
    site.fetch(hasty, keep_archives=True)
    assert site.workshop() == {*DONE, "blur.tar", "noise.tar"}
    shutil.rmtree(site.to / "glass_blur")
    site.server.asked.clear()
    site.fetch(hasty)
    assert site.published() == ALL
    assert site.asked() == []


def test_a_folder_that_is_gone_is_fetched_again_and_the_others_stay_known(site, hasty, caplog):
    site.fetch(hasty)
    before = read_manifest(site.to / WORKSHOP / "manifest" / "blur.tar.json")
    kept = (site.to / "zoom_blur").stat().st_ino
    shutil.rmtree(site.to / "glass_blur")
    site.server.asked.clear()
    site.fetch(hasty)
    assert site.published() == ALL
    assert site.asked() == [("/blur.tar", None)]
    assert (site.to / "zoom_blur").stat().st_ino == kept
    assert "blur.tar: glass_blur is gone since it was fetched" in caplog.text
    assert read_manifest(site.to / WORKSHOP / "manifest" / "blur.tar.json").folders == before.folders


def test_what_was_put_there_by_hand_is_left_as_it_is_and_said(site, hasty):
    by_hand = site.to / "shot_noise" / "1" / "n01440764" / "mine.JPEG"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(b"mine")
    (site.to / "zoom_blur" / "1").mkdir(parents=True)
    fetched = site.fetch(hasty)
    assert by_hand.read_bytes() == b"mine"
    assert site.asked() == [("/blur.tar", None)]
    assert "noise.tar: its folders were there already, so it was not fetched and they are not checked" in fetched.notes
    assert "blur.tar: zoom_blur was there before and is left as it was" in fetched.notes
    assert {path.partition("/")[0] for path in site.published()} == {"shot_noise", "glass_blur"}


@pytest.mark.parametrize("name", ["thesis", "notes.txt", "sleet", "glass_blur.txt"])
def test_a_folder_with_other_data_is_refused_before_anything_is_asked_for(site, hasty, name):
    site.to.mkdir()
    (site.to / ".DS_Store").touch()
    (site.to / "glass_blur").mkdir()
    (site.to / name).write_text("other data")
    with pytest.raises(
        UsageError, match=rf"holds other data \({name}\); give imagenet-c a folder of its own, e\.g\. --to"
    ):
        site.fetch(hasty)
    assert site.asked() == []
    assert not (site.to / WORKSHOP).exists()


def test_a_target_that_is_no_folder_or_can_not_be_made_is_refused(site, hasty):
    site.to.write_text("a file")
    with pytest.raises(UsageError, match="imagenet-c is a file; name a folder with --to"):
        site.fetch(hasty)
    with pytest.raises(HarnessError, match=r"can't be written \(Not a directory\)"):
        fetch("imagenet-c", site.to / "below", table=site.table)


def test_a_mirror_is_asked_instead_and_held_to_the_published_checksums(site, hasty):
    mirrored = {f"/mirror/imagenet-c/{file}": data for file, data in ARCHIVES.items()}
    with FaultyServer(mirrored) as mirror:
        site.fetch(hasty, mirror=f"{mirror.address}/mirror/")
        assert site.published() == ALL
        shutil.rmtree(site.to)
        mirror.files["/mirror/imagenet-c/noise.tar"] = ARCHIVES["blur.tar"]
        with pytest.raises(DataMissing, match=r"noise.tar can't be downloaded: the server has .* are published"):
            site.fetch(hasty, mirror=f"{mirror.address}/mirror")
    assert site.asked() == []
    with pytest.raises(UsageError, match="mirror 'example.org' is not an address"):
        site.fetch(hasty, mirror="example.org")


def test_a_wrong_hash_keeps_what_was_fetched_before_it_and_nothing_of_its_own(site, hasty):
    table = site.table_of(site.server.address, nois={"checksum": "0" * 32})
    with pytest.raises(
        DataError, match=r"noise\.tar has md5 [0-9a-f]{32}, expected 0{32} \(this test\); it is deleted"
    ):
        site.fetch(hasty, table=table)
    assert site.published() == FILES["blur.tar"]
    assert site.workshop() == DONE - {"manifest/noise.tar.json"}
    site.server.asked.clear()
    site.table_of(site.server.address)
    site.fetch(hasty)
    assert site.published() == ALL
    assert site.asked() == [("/noise.tar", None)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(tar_bytes(FILES["blur.tar"])[:20_000], "is damaged", id="damaged"),
        pytest.param(tar_bytes({**FILES["blur.tar"], "../x": b""}), "leads out of it", id="malicious"),
        pytest.param(
            tar_bytes(corruption_files(["glass_blur"], WNIDS)), "holds no zoom_blur, as it should", id="lacking"
        ),
        pytest.param(tar_bytes({"README": b""}), "holds none of", id="something_else"),
    ],
)
def test_an_archive_that_can_not_be_used_leaves_nothing_behind(site, hasty, data, message):
    site.server.files["/blur.tar"] = data
    table = site.table_of(site.server.address, blur={"bytes": "", "algorithm": "", "checksum": ""})
    with pytest.raises(DataError, match=message):
        site.fetch(hasty, table=table)
    assert site.published() == {}
    assert site.workshop() == {"unpacked"}


def test_a_file_without_published_checksum_is_said_to_be_unchecked(site, hasty):
    table = site.table_of(site.server.address, blur={"algorithm": "", "checksum": ""})
    unchecked = [note for note in site.fetch(hasty, table=table).notes if "checksum" in note]
    assert unchecked == ["blur.tar: no checksum of it is published, so the file itself could not be checked"]


def test_a_disk_that_is_too_small_is_told_before_anything_is_downloaded(site, hasty, monkeypatch):
    sizes = [len(data) for data in ARCHIVES.values()]
    usage = namedtuple("usage", "total used free")
    free = sum(sizes) + max(sizes) - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, free))
    with pytest.raises(HarnessError, match=r"imagenet-c needs about .* in .*imagenet-c, where .* are free"):
        site.fetch(hasty)
    assert site.asked() == []
    free += 1
    site.fetch(hasty)
    assert site.published() == ALL


def test_two_fetches_into_one_folder_do_not_meet(site, hasty):
    site.server.answers.append(Answer(pause=0.05, piece=20_000))
    first = threading.Thread(target=site.fetch, args=(hasty,))
    first.start()
    wait_until(lambda: site.server.asked)
    with pytest.raises(HarnessError, match=r"another fetch is at work in .*imagenet-c; wait for it"):
        site.fetch(hasty)
    first.join()
    assert site.published() == ALL


def test_imagenet_is_not_asked_for(tmp_path):
    with pytest.raises(HarnessError, match=r"imagenet can't be fetched: .*image-net\.org"):
        fetch("imagenet", tmp_path / "imagenet")
    assert not (tmp_path / "imagenet").exists()


def test_imagenet_a_and_p_come_without_the_folder_around_them(tmp_path, hasty):
    photographs = tar_bytes({"imagenet-a/n01498041/0.1_ray.jpg": b"ray", "imagenet-a/README.txt": b"read me"})
    sequences = tar_bytes(
        {"noise/shot_noise/n01440764/a.mp4": b"frames", "noise/gaussian_noise_2/n01440764/a.mp4": b"more"}
    )
    with FaultyServer({"/a.tar": photographs, "/noise.tar": sequences}) as server:
        table = write_table(
            tmp_path / "table.csv",
            row("imagenet-a", "a.tar", f"{server.address}/a.tar", photographs),
            row("imagenet-p", "noise.tar", f"{server.address}/noise.tar", sequences),
        )
        fetched = fetch("imagenet-a", tmp_path / "a", table=table, patience=hasty)
        fetch("imagenet-p", tmp_path / "p", table=table, patience=hasty)
    assert (tmp_path / "a/n01498041/0.1_ray.jpg").read_bytes() == b"ray"
    assert "a.tar: 1 of its files belong to no folder of imagenet-a and are left out" in fetched.notes
    assert (tmp_path / "p/shot_noise/n01440764/a.mp4").read_bytes() == b"frames"
    assert (tmp_path / "p/gaussian_noise_2/n01440764/a.mp4").read_bytes() == b"more"


STIMULI = "texture-vs-shape-1/stimuli/style-transfer-preprocessed-512"


@pytest.fixture
def stimuli(monkeypatch, tmp_path):
    """Serve an archive of stimuli as the published table has it, with one recorded stimulus that is there."""
    import hashlib
    import io

    from PIL import Image

    files = {
        f"{STIMULI}/cat/cat1-dog2.png": image_bytes(1, suffix=".png"),
        f"{STIMULI}/dog/dog1-dog2.png": image_bytes(2, suffix=".png"),
        "texture-vs-shape-1/stimuli/original/cat/cat1-dog2.png": image_bytes(3, suffix=".png"),
    }
    pixels = Image.open(io.BytesIO(files[f"{STIMULI}/cat/cat1-dog2.png"])).tobytes()
    recorded = {"cat1-dog2": hashlib.sha256(pixels).hexdigest(), "car1-dog2": "0" * 64}
    monkeypatch.setattr(module, "stimulus_pixels", lambda: recorded)
    with FaultyServer({"/cue-conflict/texture-vs-shape.zip": zip_bytes(files)}) as server:
        yield server, recorded


def test_the_stimuli_are_compared_with_the_recorded_pixels_for_want_of_a_checksum(stimuli, tmp_path, hasty):
    server, recorded = stimuli
    fetched = fetch("cue-conflict", tmp_path / "cue", mirror=server.address, patience=hasty)
    assert sorted(path.name for path in (tmp_path / "cue").rglob("*.png")) == ["cat1-dog2.png", "dog1-dog2.png"]
    assert "texture-vs-shape.zip: 1 of its images have the pixels recorded in cue_conflict_images.csv" in fetched.notes
    assert any("no checksum of it is published" in note for note in fetched.notes)
    recorded["cat1-dog2"] = "1" * 64
    with pytest.raises(DataError, match=r"1 images have other pixels than the published ones, e\.g\. cat1-dog2\.png"):
        fetch("cue-conflict", tmp_path / "other", mirror=server.address, patience=hasty)
    assert [path.name for path in (tmp_path / "other").iterdir()] == [WORKSHOP]


def weights_table(path, server, data):
    return write_table(path, row("alexnet", CATALOG["alexnet"].file, f"{server.address}/alexnet.pth", data))


def test_weights_come_under_the_name_by_which_torch_hub_finds_them(tmp_path, hasty):
    with FaultyServer({"/alexnet.pth": b"weights"}, Answer(cut=3)) as server:
        table = weights_table(tmp_path / "table.csv", server, b"weights")
        (tmp_path / "hub").mkdir()
        (tmp_path / "hub" / "other.pth").write_text("somebody else's")
        fetched = fetch("alexnet", tmp_path / "hub", table=table, patience=hasty)
        again = fetch("alexnet", tmp_path / "hub", table=table, patience=hasty)
        assert [asked.first for asked in server.asked] == [None, 3]
    (place,) = fetched.places
    assert (place, place.read_bytes()) == (tmp_path / "hub" / CATALOG["alexnet"].file, b"weights")
    assert f"name it as alexnet@{place}" in fetched.notes[-1]
    assert again.notes[0] == f"{place.name}: it was there already"


def test_weights_of_that_name_that_are_others_are_not_touched(tmp_path, hasty):
    place = tmp_path / CATALOG["alexnet"].file
    place.write_bytes(b"others!")
    with FaultyServer({}) as server:
        table = weights_table(tmp_path / "table.csv", server, b"weights")
        with pytest.raises(DataError, match=r"has md5 .*, expected .*; delete it or name another folder with --to"):
            fetch("alexnet", tmp_path, table=table, patience=hasty)
    assert place.read_bytes() == b"others!"


def test_where_to_put_it_where_nobody_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert target_folder("alexnet", DataRoots()) == tmp_path / "hub" / "checkpoints"
    assert target_folder("imagenet-c", DataRoots(root=tmp_path)) == tmp_path / "imagenet-c"
    with pytest.raises(UsageError, match=r"imagenet-c: say where to put it: --to DIR, or --data-root"):
        target_folder("imagenet-c", DataRoots())


CHILD = """
import os, signal, sys, time
from pathlib import Path
from harness.fetching import fetch as module, unpack
from harness.fetching.download import Patience

table, to, point, count = sys.argv[1:]
left = [int(count)]
os.sync = lambda: None

def kill_at(owner, name):
    real = getattr(owner, name)
    def dying(*arguments, **options):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    setattr(owner, name, dying)

if point != "nowhere":
    owner, name = point.split(".")
    kill_at({"writer": unpack._Writer, "manifest": unpack.Manifest, "job": module._Job, "path": Path}[owner], name)
try:
    module.fetch("imagenet-c", Path(to), table=Path(table), patience=Patience(first_wait=0.01))
except Exception as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def command(site, point="nowhere", count=0):
    return [sys.executable, "-c", CHILD, str(site.table), str(site.to), point, str(count)]


@pytest.mark.parametrize(
    ("point", "count", "seen", "asked_again"),
    [
        pytest.param("writer._put", 13, set(), ["/noise.tar"], id="while_unpacking"),
        pytest.param("manifest.write", 0, set(), ["/noise.tar"], id="before_the_manifest"),
        pytest.param("job._move", 0, set(), ["/noise.tar"], id="before_the_first_folder"),
        pytest.param("job._move", 1, {"glass_blur"}, ["/noise.tar"], id="between_two_folders"),
        pytest.param("path.unlink", 2, {"glass_blur", "zoom_blur"}, ["/noise.tar"], id="before_the_archive_is_deleted"),
    ],
)
def test_killed_at_any_point_nothing_half_done_is_seen_and_the_same_command_goes_on(
    site, hasty, point, count, seen, asked_again
):
    killed = subprocess.run(command(site, point, count), capture_output=True, text=True, timeout=30)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    published = site.published()
    assert {path.partition("/")[0] for path in published} == seen
    assert published == {path: data for path, data in ALL.items() if path.partition("/")[0] in seen}
    site.server.asked.clear()
    site.fetch(hasty)
    assert site.published() == ALL
    assert site.workshop() == DONE
    assert [path for path, _ in site.asked()] == asked_again


def test_killed_while_downloading_the_second_archive_it_goes_on_after_its_last_byte(site, hasty):
    site.server.answers += [HONEST, Answer(pause=0.05, piece=100)]
    part = site.to / WORKSHOP / "noise.tar.part"
    process = subprocess.Popen(command(site))
    wait_until(lambda: part.exists() and part.stat().st_size > 300)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = part.stat().st_size
    assert 300 < kept < len(ARCHIVES["noise.tar"])
    assert site.published() == FILES["blur.tar"]
    site.fetch(hasty)
    assert site.published() == ALL
    assert site.asked() == [("/blur.tar", None), ("/noise.tar", None), ("/noise.tar", kept)]


def in_small_disk(site, *steps):
    """Run shell steps with the target folder on a disk of its own of 150 kB, which ends with them."""
    mount = f"mount -t tmpfs -o size={{}} tmpfs {site.to}"
    script = "\n".join(["set -e", mount.format("150k"), *steps]).replace(
        "GROW", mount.format("10m").replace("-o ", "-o remount,")
    )
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=60)


def test_a_disk_that_fills_up_while_unpacking_keeps_the_archive_and_the_same_command_goes_on(site, tmp_path):
    if not shutil.which("unshare") or in_small_disk_is_refused(tmp_path):
        pytest.skip("needs a mount of its own, which this machine does not allow")
    # Without sizes in the table and by an archive that compresses, what is needed is not known beforehand.
    big = dict.fromkeys(FILES["noise.tar"], b"\0" * 20_000)
    site.server.files["/noise.tar"] = tar_bytes(big, mode="w:gz")
    changes = {**row("imagenet-c", "noise.tar", "", site.server.files["/noise.tar"], NOISE), "bytes": ""}
    changes["address"] = f"{site.server.address}/noise.tar"
    site.table = write_table(tmp_path / "table.csv", changes)
    site.to.mkdir()
    run = " ".join(f"'{part}'" for part in command(site)).replace(CHILD, "$CHILD").replace("'$CHILD'", '"$CHILD"')
    ended = in_small_disk(
        site,
        f"export CHILD='{CHILD}'",
        f"{run} && echo DONE || true",
        f"cd {site.to}; find . -type f | sort; echo; mount -t tmpfs -o remount,size=10m tmpfs {site.to}",
        f"{run} && find . -name '*.JPEG' -size 20000c | sort",
    )
    assert "no space left" in ended.stderr
    assert "more are needed, the archive and what was unpacked before it are kept" in ended.stderr
    before, _, after = ended.stdout.partition("\n\n")
    assert before.split() == [f"./{WORKSHOP}/lock", f"./{WORKSHOP}/noise.tar"]
    assert after.split() == [f"./{path}" for path in sorted(big)]
    assert [path for path, _ in site.asked()] == ["/noise.tar"]


def in_small_disk_is_refused(folder):
    probe = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    return subprocess.run(probe, capture_output=True).returncode != 0


def test_it_says_what_it_does(site, hasty, caplog):
    caplog.set_level(logging.INFO, "harness")
    site.fetch(hasty)
    said = [record.message for record in caplog.records]
    assert re.fullmatch(r"imagenet-c: \d+(\.\d+)? kB to download", said[0])
    for file in ARCHIVES:
        assert any(line.startswith(f"{file}: downloading ") for line in said)
        assert f"{file}: unpacking" in said
