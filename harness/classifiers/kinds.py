"""What a file after @ is, told from the file itself and without torch: a whole program, or weights."""

import zipfile
from pathlib import Path, PurePosixPath

TORCHSCRIPT, EXPORTED, ONNX = "TorchScript archive", "torch.export program", "ONNX model"


def is_archive(path: Path) -> bool:
    """Tell whether a file ends as a zip archive does; one whose end is damaged is none."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # its end names places that are not there
        return False


def program_kind(path: Path) -> str | None:
    """Tell which program a file is: `TORCHSCRIPT`, `EXPORTED` or `ONNX`; None for weights, or whatever else it is."""
    if path.suffix.lower() == ".onnx":
        return ONNX
    if not is_archive(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return None
    # torch puts a folder around all of an archive; older exports have none.
    members = {*names, *("/".join(PurePosixPath(name).parts[1:]) for name in names)}
    if "constants.pkl" in members and any(name.startswith("code/") for name in members):
        return TORCHSCRIPT
    if "archive_format" in members or {"version", "serialized_exported_program.json"} <= members:
        return EXPORTED
    return None
