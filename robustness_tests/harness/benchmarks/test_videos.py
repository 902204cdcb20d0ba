"""Reading and writing videos: against what other decoders made of one, and against the frames that went in."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from data_fixtures.videos import PUBLISHED_FORM, encoded, moving, of_jpegs, only_sound
from harness.benchmarks.videos import read_frames, write_frames
from harness.errors import DataError

# Of the frames, (6, 3, 48, 64) uint8 RGB, that cv2.VideoCapture (OpenCV 4.10 with FFmpeg 5.1, OpenCV 5.0 with FFmpeg
# 8.1) and FFmpeg 9.0's command line, with and without its SIMD code, decode from the file.
DECODED_ELSEWHERE = "2d1fb263ae2f17b04c47f954b892ac4be7a49c1db2dd0b055de389c6a2211999"


def written(frames, *, tune_grain=False):
    file = io.BytesIO()
    write_frames(file, frames, tune_grain=tune_grain)
    return file.getvalue()


def read(data, count):
    return read_frames(io.BytesIO(data), count)[0]


def test_published_form_is_decoded_as_by_other_decoders():
    frames, _ = read_frames(PUBLISHED_FORM, 6)
    assert frames.flags.c_contiguous
    assert (frames.shape, frames.dtype) == ((6, 3, 48, 64), np.uint8)
    assert hashlib.sha256(frames.tobytes()).hexdigest() == DECODED_ELSEWHERE


def test_colours_are_those_of_limited_range_bt601():
    import av

    with av.open(str(PUBLISHED_FORM)) as container:
        planes = np.stack([frame.to_ndarray() for frame in container.decode(video=0)]).astype(float)
    y, cb, cr = planes.transpose(1, 0, 2, 3)
    y, cb, cr = (y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224
    # ITU-R BT.601: Kr = 0.299, Kb = 0.114.
    red, blue = y + 2 * (1 - 0.299) * cr, y + 2 * (1 - 0.114) * cb
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    expected = np.stack([red, green, blue], axis=1).clip(0, 1) * 255
    frames, _ = read_frames(PUBLISHED_FORM, 6)
    assert np.abs(frames - expected).max() <= 2


def test_facts_are_those_of_the_file():
    _, facts = read_frames(PUBLISHED_FORM, 6)
    data, stat = PUBLISHED_FORM.read_bytes(), PUBLISHED_FORM.stat()
    assert facts.digest == int(hashlib.sha256(data).hexdigest()[:16], 16)
    assert (facts.size, facts.modified) == (len(data), stat.st_mtime_ns)


@pytest.mark.parametrize("tune_grain", [False, True], ids=["quality_20", "grain"])
def test_a_written_video_holds_the_frames_in_their_order(tune_grain):
    frames = moving(9)
    decoded = read(written(frames, tune_grain=tune_grain), 9).astype(int)
    distances = np.abs(decoded[:, None] - frames[None]).mean(axis=(2, 3, 4))
    assert distances.argmin(axis=1).tolist() == list(range(9))
    assert distances.diagonal().max() < 3 < 7 < distances[0, 1]


def test_the_same_frames_give_the_same_bytes_wherever_they_are_written(tmp_path):
    frames = moving(5)
    write_frames(tmp_path / "a.mp4", frames, tune_grain=False)
    assert (tmp_path / "a.mp4").read_bytes() == written(frames) == written(frames.copy(order="F"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    from_file, _ = read_frames(tmp_path / "a.mp4", 5)
    assert np.array_equal(from_file, read(written(frames), 5))


@pytest.mark.parametrize(
    ("tune_grain", "quality"), [(False, b"crf=20.0 qcomp=0.60"), (True, b"crf=23.0 qcomp=0.80")], ids=["plain", "grain"]
)
def test_a_written_video_is_of_the_published_form(tune_grain, quality):
    import av

    data = written(moving(3), tune_grain=tune_grain)
    # The encoder writes its options down: here those of the preset veryslow, and of the tuning.
    for option in (b"ref=16 ", b"me=umh subme=10 ", b"trellis=2 ", b"bframes=8 ", b" threads=1 ", quality):
        assert option in data
    assert b"Lavf" not in data
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate, stream.frames) == ("h264", 1, 3)
        assert stream.codec_context.pix_fmt == "yuv444p"
    with av.open(str(PUBLISHED_FORM)) as container:
        published = container.streams.video[0]
        assert (published.codec_context.pix_fmt, published.average_rate) == ("yuv444p", 1)


def test_an_older_video_stays_when_a_new_one_cannot_be_written(tmp_path):
    write_frames(tmp_path / "a.mp4", moving(2), tune_grain=False)
    before = (tmp_path / "a.mp4").read_bytes()
    with pytest.raises(ValueError, match=r"uint8 of shape \(frames, 3, h, w\), got float64"):
        write_frames(tmp_path / "a.mp4", moving(2).astype(float), tune_grain=False)
    with pytest.raises(OSError, match="nowhere"):
        write_frames(tmp_path / "nowhere" / "a.mp4", moving(2), tune_grain=False)
    assert (tmp_path / "a.mp4").read_bytes() == before


@pytest.mark.parametrize(
    "shape", [(0, 3, 8, 8), (2, 8, 8, 3), (3, 8, 8)], ids=["no_frame", "channels_last", "one_image"]
)
def test_frames_of_another_shape_are_not_written(shape):
    with pytest.raises(ValueError, match="must be uint8 of shape"):
        written(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param({"sound": True}, id="sound_beside"),
        pytest.param({"times": [0, 1, 5, 6, 30]}, id="uneven_times"),
        pytest.param({"options": {"movflags": "frag_every_frame+empty_moov"}}, id="in_fragments"),
    ],
)
def test_what_is_beside_the_frames_changes_none_of_them(kind):
    frames = moving(5)
    data = encoded(frames, **kind)
    plain = encoded(frames)
    assert data != plain
    assert np.array_equal(read(data, 5), read(plain, 5))


def test_frames_are_not_turned():
    import av

    plain = encoded(moving(5))
    header = plain.index(b"tkhd")
    matrix = slice(header + 44, header + 44 + 36)
    a_quarter = b"".join(value.to_bytes(4) for value in (0, 1 << 16, 0, (1 << 32) - (1 << 16), 0, 0, 0, 0, 1 << 30))
    turned = plain[: matrix.start] + a_quarter + plain[matrix.stop :]
    with av.open(io.BytesIO(turned)) as container:
        assert abs(next(container.decode(video=0)).rotation) == 90
    assert np.array_equal(read(turned, 5), read(plain, 5))


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        pytest.param({}, 6, id="full_chroma"),
        pytest.param({"pixels": "yuv422p"}, 6, id="half_chroma"),
        pytest.param({"pixels": "yuv420p"}, 6, id="quarter_chroma"),
        pytest.param({"pixels": "yuvj420p"}, 6, id="full_range"),
        pytest.param({"pixels": "yuv444p10le"}, 6, id="ten_bits"),
        pytest.param({"matrix": "ITU709"}, 6, id="bt709"),
    ],
)
def test_colours_come_back_from_every_pixel_format(kind, tolerance):
    bars = np.zeros((2, 3, 32, 64), np.uint8)
    for place, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)]):
        bars[..., 16 * place : 16 * place + 16] = np.array(colour)[:, None, None]
    decoded = read(encoded(bars, **kind), 2).astype(int)
    inner = (np.arange(64) % 16 >= 4) & (np.arange(64) % 16 < 12)
    assert np.abs(decoded - bars)[..., inner].max() <= tolerance


def test_grey_video_is_read_as_grey_rgb():
    decoded = read(encoded(moving(3), pixels="gray"), 3)
    assert np.array_equal(decoded[:, 0], decoded[:, 1])
    assert np.array_equal(decoded[:, 0], decoded[:, 2])


def test_more_and_fewer_frames_are_refused(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(encoded(moving(5)))
    with pytest.raises(DataError, match=rf"^{path} holds 5 frames, expected 6; replace the file$"):
        read_frames(path, 6)
    with pytest.raises(DataError, match=rf"^{path} holds more than 4 frames; replace the file$"):
        read_frames(path, 4)


def test_a_hole_in_the_stream_is_refused():
    data = bytearray(encoded(moving(5)))
    begin = data.index(b"mdat") + 1000
    data[begin : begin + 400] = bytes(400)
    with pytest.raises(DataError, match="a video in memory is cut short or damaged at frame 0"):
        read(bytes(data), 5)


def test_frames_of_several_sizes_are_refused():
    images = [Image.new("RGB", (side, 32)) for side in (32, 32, 48)]
    assert read(of_jpegs(images[:2]), 2).shape == (2, 3, 32, 32)
    with pytest.raises(DataError, match="changes its frames' size at frame 2"):
        read(of_jpegs(images), 3)


def _cut_without_index():
    data = encoded(moving(5))
    return data[: len(data) * 3 // 4]


def _cut_in_fragments():
    data = encoded(moving(5), options={"movflags": "frag_every_frame+empty_moov"})
    return data[: len(data) * 3 // 4]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda: b"", "can't be decoded as MP4 video", id="empty"),
        pytest.param(lambda: b"not a video\n" * 50, "can't be decoded as MP4 video", id="text"),
        pytest.param(_cut_without_index, "can't be decoded as MP4 video", id="cut_before_the_index"),
        pytest.param(_cut_in_fragments, "can't be decoded|is cut short or damaged|holds . frames", id="cut_short"),
        pytest.param(only_sound, "holds no video that can be decoded", id="sound_alone"),
    ],
)
def test_what_is_no_video_is_one_line_that_names_the_file(tmp_path, make, message):
    path = tmp_path / "n01440764" / "a.mp4"
    path.parent.mkdir()
    path.write_bytes(make())
    with pytest.raises(DataError, match=message) as caught:
        read_frames(path, 5)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a.mp4 can't be read \(No such file or directory\)"):
        read_frames(tmp_path / "a.mp4", 5)
    with pytest.raises(DataError, match=r"can't be read \(Is a directory\)"):
        read_frames(tmp_path, 5)


def test_a_playlist_opens_no_other_file(tmp_path):
    (tmp_path / "other.mp4").write_bytes(encoded(moving(5)))
    playlist = f"ffconcat version 1.0\nfile '{tmp_path}/other.mp4'\n"
    (tmp_path / "a.mp4").write_text(playlist)
    with pytest.raises(DataError, match="can't be decoded as MP4 video"):
        read_frames(tmp_path / "a.mp4", 5)
