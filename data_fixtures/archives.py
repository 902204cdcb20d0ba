"""Writes small archives in the layout of the published ones, and the table by which they are fetched."""

import csv
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from harness.fetching.table import COLUMNS


def image_bytes(seed: int, side: int = 224, suffix: str = ".JPEG") -> bytes:
    """Give the file of a small picture whose pixels depend on a seed."""
    colour = np.random.default_rng(seed).integers(0, 256, (1, 1, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.tile(colour, (side, side, 1))).save(buffer, "PNG" if suffix == ".png" else "JPEG")
    return buffer.getvalue()


def tar_bytes(files: Mapping[str, bytes], *odd: tarfile.TarInfo, mode: str = "w") -> bytes:
    """Pack files, by path, and whatever odd members, without bytes, come after them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for info in odd:
            tar.addfile(info)
    return buffer.getvalue()


def zip_bytes(files: Mapping[str, bytes]) -> bytes:
    """Pack files, by path."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return buffer.getvalue()


def corruption_files(corruptions: Iterable[str], wnids: Iterable[str], per_class: int = 1) -> dict[str, bytes]:
    """Give an ImageNet-C archive's files: `<corruption>/<1..5>/<wnid>/*.JPEG`, all of one picture each."""
    names = list(wnids)
    return {
        f"{corruption}/{severity}/{wnid}/ILSVRC2012_val_{place:08d}.JPEG": image_bytes(severity)
        for corruption in corruptions
        for severity in range(1, 6)
        for wnid in names
        for place in range(per_class)
    }


def write_table(path: Path, *rows: Mapping[str, object]) -> Path:
    """Write a table of what can be fetched; columns that a row leaves out are empty."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def row(name: str, file: str, address: str, data: bytes, unpacks_to: Iterable[str] = ()) -> dict[str, object]:
    """Give a table's row for a file with these bytes, with its size and md5."""
    return {
        "name": name,
        "file": file,
        "address": address,
        "bytes": len(data),
        "algorithm": "md5",
        "checksum": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "unpacks_to": " ".join(unpacks_to),
        "source": "this test",
    }
