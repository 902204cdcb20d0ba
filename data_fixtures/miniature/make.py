"""Trains all classifiers of the miniature again: `python -m data_fixtures.miniature.make`.

Everything is drawn and seeded, so that the same machine makes the same files to the last bit; another one makes
classifiers whose figures agree within the pins' tolerances. The hashes of the files go into `sha256.json` beside them.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from harness.classifiers.disk import file_sha256
from harness.errors import unknown

WEIGHTS = Path(__file__).parent / "weights"
HASHES = WEIGHTS / "sha256.json"


def make(name: str, folder: Path = WEIGHTS) -> tuple[Path, float]:
    """Train one classifier and write its weights, in half precision.

    Returns:
        The file, and the seconds that it took.
    """
    import torch
    from safetensors.torch import save_file

    from data_fixtures.miniature.training import RECIPES, train

    began = time.monotonic()
    state = train(RECIPES[name]).state_dict()
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous(memory_format=torch.contiguous_format) for key, value in half.items()}, path)
    return path, time.monotonic() - began


def main() -> int:
    """Make what is named on the command line, all by default; two at a time."""
    from data_fixtures.miniature.training import RECIPES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"classifiers, of {', '.join(RECIPES)}; all by default")
    names = parser.parse_args().names or list(RECIPES)
    if wrong := [name for name in names if name not in RECIPES]:
        sys.exit(str(unknown("classifier", wrong[0], RECIPES)))
    hashes = json.loads(HASHES.read_text(encoding="utf-8")) if HASHES.is_file() else {}
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(make, name) for name in names]):
            path, seconds = done.result()
            hashes[path.stem] = file_sha256(path)
            print(
                f"{path.name}: {path.stat().st_size:,} bytes, {seconds:.0f} s, sha256 {hashes[path.stem]}", flush=True
            )
    HASHES.write_text(json.dumps(hashes, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
