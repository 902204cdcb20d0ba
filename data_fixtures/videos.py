"""Makes sequences of frames, and MP4 videos of every kind that a reader may meet.

`published_form.mp4` is six frames of 64 x 48, encoded by FFmpeg 9.0's command line as ImageNet-P was published:
`ffmpeg -r 1 -framerate 1 -i img%01d.png -vcodec libx264 -crf 20 -preset veryslow -threads 1 -fflags +bitexact`. It is
kept and not made again, because what other decoders made of it is recorded: see `test_videos.py`.
"""

import io
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_fixtures.pictures import picture
from harness.benchmarks.classes import class_index
from harness.metrics.perturbation import PERTURBATIONS

PUBLISHED_FORM = Path(__file__).with_name("published_form.mp4")


def moving(count: int, height: int = 48, width: int = 64, *, seed: int = 0) -> NDArray[np.uint8]:
    """Move a picture to the left by two pixels a frame, shape (count, 3, height, width)."""
    side = max(height, width) + 2 * count
    pixels = np.asarray(picture(seed, side)).transpose(2, 0, 1)
    return np.stack([pixels[:, :height, 2 * frame : 2 * frame + width] for frame in range(count)])


def encoded(
    frames: NDArray[np.uint8],
    *,
    pixels: str = "yuv444p",
    matrix: str | None = None,
    times: Iterable[int] | None = None,
    sound: bool = False,
    options: Mapping[str, str] | None = None,
) -> bytes:
    """Encode frames as H.264 in MP4, at high quality.

    Args:
        frames: uint8 (count, 3, h, w).
        pixels: FFmpeg's name of the pixel format.
        matrix: PyAV's name of the YCbCr matrix to use and to name in the file, e.g. `ITU709`; none is named by default.
        times: When each frame is shown, in seconds; 0, 1, 2 ... by default.
        sound: Whether to put a sound track before the video.
        options: Of the container, e.g. `movflags`.
    """
    import av
    from av.video.reformatter import Colorspace

    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options=dict(options or {})) as container:
        if sound:
            hum = container.add_stream("aac", rate=44100, layout="mono")
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 44100
        stream = container.add_stream("libx264", rate=1, options={"crf": "5", "preset": "medium"})
        stream.height, stream.width = frames.shape[2:]
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        if matrix:
            stream.codec_context.colorspace = Colorspace[matrix]
        for time, image in zip(times if times is not None else range(len(frames)), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image.transpose(1, 2, 0)), format="rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=matrix) if matrix else frame
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound:
            container.mux(hum.encode(silence))
            container.mux(hum.encode(None))
    return file.getvalue()


def of_jpegs(images: Iterable[Image.Image]) -> bytes:
    """Put images into an MP4 as they are, one JPEG a frame: they may differ in size."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mjpeg", rate=1)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuvj420p"
        for time, image in enumerate(images):
            jpeg = io.BytesIO()
            image.save(jpeg, "JPEG")
            packet = av.Packet(jpeg.getvalue())
            packet.stream, packet.pts, packet.dts, packet.time_base = stream, time, time, Fraction(1)
            container.mux(packet)
    return file.getvalue()


def only_sound() -> bytes:
    """Make an MP4 that holds sound and no video."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 44100
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    return file.getvalue()


def list_imagenet_p(root: Path, classes: Iterable[int], per_class: int) -> Path:
    """Lay out all ten perturbations with so many videos a class, all of them empty: there to be listed, not read."""
    wnids = list(class_index())
    for perturbation in PERTURBATIONS:
        for index in classes:
            folder = root / perturbation / wnids[index]
            folder.mkdir(parents=True)
            for place in range(per_class):
                (folder / f"{place:04d}.mp4").touch()
    return root
