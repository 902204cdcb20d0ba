"""From a video to the frames that a classifier sees, and back, as ImageNet-P was written and is read.

Frames are converted as `cv2.VideoCapture`, the published reader, has them converted (Hendrycks and Dietterich 2019,
ImageNet-P/utils/video_loader.py): by FFmpeg's swscale with bicubic chroma, YCbCr to 8-bit RGB by the matrix and the
range that the video names. The published videos name none, which means BT.601 and limited range. docs/imagenet_p.md
says what this was measured against.
"""

import os
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from harness.benchmarks.images import FileFacts, digest
from harness.errors import DataError, in_one_line
from harness.files import replace_whole

# The published command line: ffmpeg -r 1 -framerate 1 -i img%01d.png -vcodec libx264 -crf 20 -preset veryslow, with
# -tune grain in place of -crf 20 for noise. One frame a second is no detail: the encoder spends bits by the second, and
# at 30 frames a second the same quality setting keeps far less of each frame.
_FRAMES_PER_SECOND = 1
_PRESET = {"preset": "veryslow"}
_QUALITY = {"crf": "20"}
_GRAIN = {"tune": "grain"}
_LOSSLESS = {"preset": "ultrafast", "qp": "0"}
# What that command line chooses for RGB frames where no pixel format is named: chroma at full resolution.
_PIXEL_FORMAT = "yuv444p"


def read_frames(video: Path | BinaryIO, frames: int) -> tuple[NDArray[np.uint8], FileFacts]:
    """Decode all frames of one MP4 video to 8-bit RGB, and hash its bytes.

    Frames come in the order in which they are shown, one for each that is stored, whatever their timing. Pixels are as
    decoded: nothing is scaled, cropped or turned, even where the file says that players should. Sound is passed over;
    of several video tracks the first is read.

    Args:
        video: A file, or an open one that is read from where it stands.
        frames: How many it must hold.

    Returns:
        The frames, shape (frames, 3, h, w), and what tells the file from another; of an open file that has no
        time, it was last written at 0.

    Raises:
        DataError: It can't be read, is no MP4 video, is cut short or damaged, holds more or fewer frames, or frames of
            several sizes.
    """
    name, data, modified = _read(video)
    return _decode(name, data, frames), FileFacts(digest(data), len(data), modified)


def write_frames(
    video: Path | BinaryIO, frames: NDArray[np.uint8], *, tune_grain: bool = False, lossless: bool = False
) -> None:
    """Encode frames as the published generator did: H.264 in MP4, the same bytes for the same frames.

    Options of Hendrycks and Dietterich (2019), ImageNet-P/create_p/make_imagenet_p.py: preset veryslow, one frame a
    second, full chroma (4:4:4), and quality 20, or the encoder's default quality 23 tuned for grain. The encoder works
    in one thread and stamps nothing in, so that the bytes depend on nothing but the frames and the encoder's version.

    Args:
        video: A file, which is there only once it is whole, or an open one.
        frames: uint8, shape (frames, 3, h, w), RGB; at least one frame.
        tune_grain: For the noise perturbations.
        lossless: Unlike the published videos, keep of the frames all but what the colour space rounds; much faster.

    Raises:
        ValueError: Frames are of another type or shape.
        OSError: The file can't be written.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1] != 3 or not frames.size:
        raise ValueError(f"frames must be uint8 of shape (frames, 3, h, w), got {frames.dtype} {frames.shape}")
    data = _encode(frames, _LOSSLESS if lossless else {**_PRESET, **(_GRAIN if tune_grain else _QUALITY)})
    if isinstance(video, Path):
        replace_whole(video, data)
    else:
        video.write(data)


def _read(video: Path | BinaryIO) -> tuple[str, bytes, int]:
    """Give what a video is called, its bytes, and when it was last written."""
    if not isinstance(video, Path):
        return str(getattr(video, "name", "a video in memory")), video.read(), 0
    try:
        with video.open("rb") as file:
            return str(video), file.read(), os.fstat(file.fileno()).st_mtime_ns
    except OSError as error:
        raise DataError(f"{video} can't be read ({error.strerror}); replace the file") from error


def _decode(name: str, data: bytes, frames: int) -> NDArray[np.uint8]:
    import av
    from av.video.reformatter import Interpolation, VideoReformatter

    pixels: NDArray[np.uint8] | None = None
    count = 0
    try:
        # Named, because FFmpeg would take text for a playlist and open the files and addresses in it.
        with av.open(BytesIO(data), "r", format="mp4", metadata_errors="replace") as container:
            stream = next(iter(container.streams.video), None)
            if stream is None or stream.codec_context is None:
                raise DataError(f"{name} holds no video that can be decoded; replace the file")
            # Sequences are decoded side by side in workers, so each is left one thread.
            stream.codec_context.thread_count = 1
            reformatter = VideoReformatter()
            for frame in container.decode(stream):
                rgb = reformatter.reformat(frame, format="rgb24", interpolation=Interpolation.BICUBIC, threads=1)
                image = rgb.to_ndarray()
                if pixels is None:
                    pixels = np.empty((frames, 3, *image.shape[:2]), np.uint8)
                if image.shape[:2] != pixels.shape[2:]:
                    raise DataError(f"{name} changes its frames' size at frame {count}; replace the file")
                if frame.is_corrupt:  # the decoder paints over what it can't read
                    raise DataError(f"{name} is cut short or damaged at frame {count}; replace the file")
                if count == frames:
                    raise DataError(f"{name} holds more than {frames} frames; replace the file")
                pixels[count] = image.transpose(2, 0, 1)
                count += 1
    except DataError:
        raise
    except Exception as error:  # FFmpeg's errors, and whatever else broken bytes lead to
        reason = getattr(error, "strerror", None) or in_one_line(error)
        raise DataError(f"{name} can't be decoded as MP4 video ({reason}); replace the file") from error
    if pixels is None or count < frames:
        raise DataError(f"{name} holds {count} frames, expected {frames}; replace the file")
    return pixels


def _encode(frames: NDArray[np.uint8], options: dict[str, str]) -> bytes:
    import av

    file = BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=_FRAMES_PER_SECOND, options=options)
        stream.height, stream.width = frames.shape[2:]
        stream.pix_fmt = _PIXEL_FORMAT
        stream.codec_context.thread_count = 1
        for time, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)), format="rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
