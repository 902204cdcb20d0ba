"""Downloading one file from servers that cut, corrupt, answer ranges wrongly or refuse them."""

import errno
import hashlib
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest

from data_fixtures.server import HONEST, Answer, FaultyServer, wait_until
from harness.errors import DataError, DataMissing, HarnessError, UsageError
from harness.fetching import download as module
from harness.fetching.download import Progress, download, in_bytes
from harness.fetching.table import Download

DATA = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)
MD5 = hashlib.md5(DATA).hexdigest()


SIZE = len(DATA)


def item(server, *, size=SIZE, checksum=MD5, algorithm="md5"):
    address = f"{server.address}/noise.tar"
    return Download("imagenet-c", "noise.tar", address, size, algorithm if checksum else "", checksum, (), "this test")


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("answers", "firsts"),
    [
        pytest.param([], [None], id="honest"),
        pytest.param([Answer(cut=1), Answer(cut=70_001)], [None, 1, 70_002], id="cut_twice"),
        pytest.param([Answer(cut=100_000)] * 3, [None, 100_000, 200_000], id="cut_at_the_last_byte"),
        pytest.param([Answer(cut=0)], [None, None], id="cut_before_the_first_byte"),
        pytest.param([Answer(cut=1000)] * 9, [None, *range(1000, 10_000, 1000)], id="cut_more_often_than_it_is_borne"),
        pytest.param([Answer(cut=9, chunked=True)] * 2, [None, 9, 18], id="cut_in_chunks"),
        pytest.param([Answer(chunked=True)], [None], id="chunked"),
        pytest.param([Answer(cut=9), Answer(ranges="ignored")], [None, 9], id="range_ignored"),
        pytest.param([Answer(cut=9), Answer(ranges="shifted")], [None, 9, None], id="another_range"),
        pytest.param([Answer(cut=9), Answer(ranges="unnamed")], [None, 9, None], id="range_without_a_name"),
        pytest.param([Answer(cut=9), Answer(ranges="refused")], [None, 9, None], id="range_refused"),
        pytest.param([Answer(status=503), Answer(status=500), Answer(status=429)], [None] * 4, id="busy_then_good"),
        pytest.param([Answer(cut=9), Answer(status=502)], [None, 9, 9], id="busy_in_between"),
        pytest.param(
            [Answer(cut=9), Answer(status=502)] * 5,
            [None, 9, 9, 18, 18, 27, 27, 36, 36, 45, 45],
            id="busy_in_between_more_often_than_it_is_borne",
        ),
        pytest.param([Answer(cut=9, body=OTHER, etag='"old"')], [None, 9], id="changed_etag"),
        pytest.param(
            [Answer(cut=9, body=OTHER, etag='"old"'), Answer(checks_version=False)],
            [None, 9, None],
            id="if_range_ignored",
        ),
        pytest.param([Answer(cut=9, etag=None)], [None, 9], id="no_validator_but_a_checksum"),
        pytest.param([Answer(cut=9, etag='W/"one"'), Answer(etag='W/"one"')], [None, 9], id="weak_etag"),
        pytest.param([Answer(announced=len(DATA) + 1)], [None, None], id="too_long_announced"),
        pytest.param([Answer(announced=len(DATA) - 1)], [None, None], id="too_short_announced"),
        pytest.param([Answer(body=DATA + b"more", chunked=True)], [None, None], id="more_than_published"),
        pytest.param([Answer(pause=0.005, piece=20_000)], [None], id="slow"),
        pytest.param([Answer(pause=9.0, piece=20_000)], [None, 20_000], id="silent"),
        pytest.param([Answer(status=206)], [None, None], id="part_of_what_was_asked_whole"),
    ],
)
def test_the_file_arrives_whole_whatever_the_server_does(tmp_path, hasty, answers, firsts):
    with FaultyServer({"/noise.tar": DATA}, *answers) as server:
        path = download(item(server), tmp_path, patience=hasty)
    assert path.read_bytes() == DATA
    assert left_in(tmp_path) == ["noise.tar"]
    assert [asked.first for asked in server.asked] == firsts
    assert not server.answers


def test_random_cuts_and_faults_end_in_the_same_bytes(tmp_path, hasty):
    rng = np.random.default_rng(2)
    for trial in range(12):
        faults = [
            Answer(
                cut=int(rng.integers(0, 90_000)),
                ranges=str(rng.choice(["answered", "answered", "ignored", "shifted", "unnamed"])),
                etag=str(rng.choice(['"one"', '"two"'])),
                chunked=bool(rng.integers(2)),
            )
            for _ in range(rng.integers(1, 4))
        ]
        folder = tmp_path / str(trial)
        folder.mkdir()
        with FaultyServer({"/noise.tar": DATA}, *faults) as server:
            assert download(item(server), folder, patience=hasty).read_bytes() == DATA


def test_redirects_are_followed_and_the_range_with_them(tmp_path, hasty):
    to = {"Location": "/elsewhere"}
    answers = [Answer(status=302, headers=to), Answer(cut=1000), Answer(status=307, headers=to)]
    with FaultyServer({"/elsewhere": DATA}, *answers) as server:
        assert download(item(server), tmp_path, patience=hasty).read_bytes() == DATA
    assert [(asked.path, asked.first) for asked in server.asked] == [
        ("/noise.tar", None),
        ("/elsewhere", None),
        ("/noise.tar", 1000),
        ("/elsewhere", 1000),
    ]


@pytest.mark.parametrize(
    ("then", "message", "requests"),
    [
        pytest.param(Answer(status=404), "HTTP status 404", 1, id="404"),
        pytest.param(Answer(status=403), "HTTP status 403", 1, id="403"),
        # requests follows 30 redirects.
        pytest.param(Answer(status=302, headers={"Location": "/noise.tar"}), "redirects in a circle", 31, id="circle"),
    ],
)
def test_what_is_not_there_is_said_at_once_with_its_address(tmp_path, hasty, then, message, requests):
    with (
        FaultyServer({}, then=then) as server,
        pytest.raises(DataMissing, match=rf"imagenet-c: {server.address}/noise.tar .*{message}"),
    ):
        download(item(server), tmp_path, patience=hasty)
    assert len(server.asked) == requests
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        pytest.param(Answer(status=503), "HTTP status 503", id="busy"),
        pytest.param(Answer(cut=0), "cut after 0 bytes of 300 kB, ", id="cut"),
        pytest.param(Answer(announced=5), "the server has 5 bytes, 300,000 are published", id="another_size"),
        pytest.param(
            Answer(cut=50, ranges="ignored"), "cut after 50 bytes of 300 kB", id="always_cut_at_the_same_byte"
        ),
    ],
)
def test_a_server_that_brings_nothing_new_is_borne_with_for_so_many_tries(tmp_path, hasty, then, reason):
    with (
        FaultyServer({"/noise.tar": DATA}, then=then) as server,
        pytest.raises(DataMissing, match=f"{reason}.*4 times"),
    ):
        download(item(server), tmp_path, patience=hasty)
    assert len(server.asked) == (5 if then.cut == 50 else 4)
    assert not (tmp_path / "noise.tar").exists()


def test_a_server_that_is_not_there_is_named_with_the_cause(tmp_path, hasty):
    with FaultyServer({}) as server:
        pass
    with pytest.raises(
        DataMissing, match=rf"{server.address}/noise.tar .*refused, 4 times in a row; nothing of it is kept"
    ):
        download(item(server), tmp_path, patience=hasty)


def test_the_server_says_how_long_to_wait(tmp_path, hasty, monkeypatch):
    waits = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    answers = [
        Answer(status=503, headers={"Retry-After": "7"}),
        Answer(status=429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Answer(status=503, headers={"Retry-After": "soon"}),
    ]
    patience = module.Patience(first_wait=0.5, longest_wait=5)
    with FaultyServer({"/noise.tar": DATA}, *answers) as server:
        download(item(server), tmp_path, patience=patience)
    assert waits == [5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("modified", "etag", "expected"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", None, "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 'W/"weak"', "Wed, 21 Oct 2015 07:28:00 GMT"),
        ("Wed, 21 Oct 2015 07:28:00 GMT", '"strong"', '"strong"'),
    ],
    ids=["date", "weak", "strong"],
)
def test_a_range_is_asked_for_of_the_same_version_only(tmp_path, hasty, modified, etag, expected):
    version = {"modified": modified, "etag": etag}
    with FaultyServer({"/noise.tar": DATA}, Answer(cut=10, **version), then=Answer(**version)) as server:
        download(item(server), tmp_path, patience=hasty)
    assert [(asked.first, asked.if_range) for asked in server.asked] == [(None, ""), (10, expected)]


def test_without_validator_and_checksum_nothing_is_resumed(tmp_path, hasty):
    with FaultyServer({"/noise.tar": DATA}, Answer(cut=10, etag=None)) as server:
        path = download(item(server, checksum="", size=None), tmp_path, patience=hasty)
    assert path.read_bytes() == DATA
    assert [asked.first for asked in server.asked] == [None, None]


@pytest.mark.parametrize(
    ("body", "published", "message"),
    [
        pytest.param(OTHER, {}, f"has md5 {hashlib.md5(OTHER).hexdigest()}, expected {MD5} ", id="other_bytes"),
        pytest.param(
            OTHER,
            {"algorithm": "sha256", "checksum": hashlib.sha256(DATA).hexdigest()[:8]},
            rf"has sha256 [0-9a-f]{{64}}, expected {hashlib.sha256(DATA).hexdigest()[:8]}\.\.\. ",
            id="other_bytes_by_prefix",
        ),
        pytest.param(DATA[:-1], {"size": None}, "has md5", id="cut_without_notice"),
    ],
)
def test_wrong_bytes_are_told_with_both_hashes_and_deleted_so_that_the_next_run_starts_anew(
    tmp_path, hasty, body, published, message
):
    with FaultyServer({"/noise.tar": DATA}, Answer(body=body)) as server:
        wanted = item(server, **published)
        with pytest.raises(DataError, match=rf"noise\.tar {message}.*this test.*deleted: run the same command again"):
            download(wanted, tmp_path, patience=hasty)
        assert left_in(tmp_path) == []
        assert download(wanted, tmp_path, patience=hasty).read_bytes() == DATA


def test_a_file_that_is_there_is_checked_and_not_downloaded_again(tmp_path, hasty):
    (tmp_path / "noise.tar").write_bytes(DATA)
    with FaultyServer({}) as server:
        download(item(server), tmp_path, patience=hasty)
        (tmp_path / "noise.tar").write_bytes(DATA[:-1])
        with pytest.raises(DataError, match="has 299,999 bytes, expected 300,000"):
            download(item(server), tmp_path, patience=hasty)
    assert not server.asked


@pytest.mark.parametrize(
    ("note", "part", "first"),
    [
        pytest.param({}, DATA[:10], 10, id="sound"),
        pytest.param({"address": "http://127.0.0.1/other"}, DATA[:10], None, id="other_address"),
        pytest.param(None, DATA[:10], None, id="no_note"),
        pytest.param("{", DATA[:10], None, id="broken_note"),
        pytest.param({}, DATA + b"more", None, id="too_long"),
        pytest.param({}, b"", None, id="empty"),
    ],
)
def test_what_an_earlier_run_left_is_gone_on_with_only_if_it_is_known_what_it_is(tmp_path, hasty, note, part, first):
    (tmp_path / "noise.tar.part").write_bytes(part)
    with FaultyServer({"/noise.tar": DATA}) as server:
        wanted = item(server)
        version = {"address": wanted.address, "etag": '"one"', "modified": "", "size": len(DATA)}
        if note is not None:
            text = note if isinstance(note, str) else json.dumps({**version, **note})
            (tmp_path / "noise.tar.part.json").write_text(text)
        assert download(wanted, tmp_path, patience=hasty).read_bytes() == DATA
    assert [asked.first for asked in server.asked] == [first]
    assert left_in(tmp_path) == ["noise.tar"]


@pytest.mark.parametrize("size", [len(DATA), None], ids=["size_known", "size_unknown"])
def test_a_download_that_was_killed_after_its_last_byte_is_not_asked_for_again(tmp_path, hasty, size):
    (tmp_path / "noise.tar.part").write_bytes(DATA)
    with FaultyServer({"/noise.tar": DATA}) as server:
        wanted = item(server, size=size)
        version = {"address": wanted.address, "etag": '"one"', "modified": "", "size": size}
        (tmp_path / "noise.tar.part.json").write_text(json.dumps(version))
        assert download(wanted, tmp_path, patience=hasty).read_bytes() == DATA
    assert [(asked.first, asked.status) for asked in server.asked] == ([] if size else [(len(DATA), 416)])


def test_a_wrong_address_is_a_usage_error(tmp_path, hasty):
    with FaultyServer({}) as server, pytest.raises(UsageError, match="is not an address to download from"):
        download(item(server), tmp_path, address="http://[", patience=hasty)


def full_disk(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_keeps_what_came_and_says_how_much_more_is_needed(tmp_path, hasty, monkeypatch):
    with FaultyServer({"/noise.tar": DATA}, Answer(cut=100_000), then=Answer(cut=0)) as server:
        with pytest.raises(DataMissing):
            download(item(server), tmp_path, patience=hasty)
        server.then = HONEST
        with monkeypatch.context() as patched:
            patched.setattr(module._Transfer, "_write", lambda self, *_: full_disk_of(self))
            with pytest.raises(
                HarnessError, match="no space left .*200 kB more are needed, 100 kB of it are kept.*goes on"
            ):
                download(item(server), tmp_path, patience=hasty)
        assert download(item(server), tmp_path, patience=hasty).read_bytes() == DATA
    assert server.asked[-1].first == 100_000


def full_disk_of(transfer):
    try:
        full_disk()
    except OSError as error:
        raise transfer._disk_trouble(error, len(DATA)) from error


def test_a_disk_without_room_is_told_before_anything_is_downloaded(tmp_path, hasty, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 9 * 10**5, 10**5))
    with (
        FaultyServer({"/noise.tar": DATA}) as server,
        pytest.raises(HarnessError, match="needs about 300 kB.*100 kB are free"),
    ):
        download(item(server), tmp_path, patience=hasty)
    assert left_in(tmp_path) == []


CHILD = """
import resource, sys
from pathlib import Path
from harness.fetching.download import Patience, download
from harness.fetching.table import Download
address, folder, size, md5, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
item = Download("imagenet-c", "noise.tar", address, int(size), "md5", md5, (), "this test")
try:
    download(item, Path(folder), patience=Patience(first_wait=0.01))
except Exception as error:
    print(f"{type(error).__name__}: {error}")
"""


def child(server, folder, limit=0):
    arguments = [item(server).address, str(folder), str(len(DATA)), MD5, str(limit)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_limit_of_the_system_on_what_is_written_is_met_like_a_full_disk(tmp_path, hasty):
    with FaultyServer({"/noise.tar": DATA}) as server:
        said, _ = child(server, tmp_path, limit=123_456).communicate(timeout=30)
        assert "HarnessError: no space left" in said
        assert "177 kB more are needed, 123 kB of it are kept" in said
        assert (tmp_path / "noise.tar.part").read_bytes() == DATA[:123_456]
        assert download(item(server), tmp_path, patience=hasty).read_bytes() == DATA
    assert [asked.first for asked in server.asked] == [None, 123_456]


def test_killed_in_the_middle_it_goes_on_after_the_last_byte(tmp_path, hasty):
    part = tmp_path / "noise.tar.part"
    with FaultyServer({"/noise.tar": DATA}, Answer(pause=0.05, piece=10_000)) as server:
        process = child(server, tmp_path)
        wait_until(lambda: part.exists() and part.stat().st_size >= 50_000)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        kept = part.stat().st_size
        assert kept < len(DATA)
        assert not (tmp_path / "noise.tar").exists()
        assert download(item(server), tmp_path, patience=hasty).read_bytes() == DATA
    assert [asked.first for asked in server.asked] == [None, kept]


def test_it_says_how_far_it_is(tmp_path, hasty, monkeypatch, caplog):
    monkeypatch.setattr(Progress, "SECONDS", 0.0)
    caplog.set_level(logging.INFO, "harness")
    with FaultyServer({"/noise.tar": DATA}, Answer(cut=200_000)) as server:
        download(item(server), tmp_path, patience=hasty)
    said = caplog.text
    assert f"noise.tar: downloading 300 kB from {server.address}" in said
    assert "noise.tar: goes on after 200 kB" in said
    assert "noise.tar: downloaded 300 kB of 300 kB, " in said
    assert "/s, 0 s left" in said


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (22_565_673_785, "22.6 GB"),
        (999_600, "1 MB"),
        (2e12, "2 TB"),
    ],
)
def test_bytes_are_written_with_three_digits(count, text):
    assert in_bytes(count) == text
