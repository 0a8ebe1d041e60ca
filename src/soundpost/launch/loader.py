"""Soundpost in one file: a folder of audio clips in, submission.csv out. Runs as a script or pasted in a notebook cell.

On Kaggle nothing needs to be set: the competition's clips and its sample_submission.csv are found. Elsewhere:

    python kernel.py --test-dir CLIPS --sample-submission sample_submission.csv --out submission.csv

Below stand, in this order: settings, the loader, the source of the kit with its recipes and weights, their hashes.
"""

import base64
import hashlib
import linecache
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

# What a person may change, in Kaggle's editor. Any option of the command line may stand here (kernel.py --help lists
# them all); None means the default, and what is given on the command line comes first.
SETTINGS: dict[str, object] = {
    "test-dir": None,  # folder of the clips; None: the competition's, found under /kaggle/input
    "sample-submission": None,  # csv whose rows and columns are filled; None: the competition's
    "out": "submission.csv",
    "time-limit": "55m",  # of the whole run, from the start to the last written row
    "memory-limit": None,  # of all processes together, such as "12G"; None: what the machine allows
    "disk-limit": None,  # of spilled spectrograms, such as "4G"; None: half of what is free
    "device": "auto",  # or "cpu", "cuda", "cuda:0,cuda:1"
    "workers": None,  # processes that decode and compute features; None: by the cores
    "members": None,  # such as "compact/1,compact/3"; None: all that this file carries
    "seed": None,
    "log": None,  # a file that gets a copy of the log
}

BUILD = ""  # names this build: sha256 of everything it carries
FILES: dict[str, str] = {}  # path in the unpacked folder -> text; a pack of weights stands as base85
HASHES: dict[str, str] = {}  # path -> sha256 of that text; those of packs are in their recipe.toml


def unpack() -> Path:
    """A fresh temporary folder with every file, so that tracebacks show true names and lines, and children import."""
    texts = {path: text.removeprefix("\n") for path, text in FILES.items()}
    changed = [path for path in HASHES if hashlib.sha256(texts.get(path, "").encode()).hexdigest() != HASHES[path]]
    if changed:
        raise RuntimeError(
            f"changed since kernel.py was built: {', '.join(changed)}. Build it again; or, to run it so, delete "
            "the line of that file in HASHES."
        )
    folder = Path(tempfile.mkdtemp(prefix=f"soundpost-{BUILD[:12]}-"))
    for name, text in texts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(binary(text) if name.endswith(".pack") else text.encode())
        if name.endswith(".py"):  # an entry without a time stays, for tracebacks that are shown when its file is gone
            linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    return folder


def binary(text: str) -> bytes:
    """The bytes of a pack; a damaged one stays text, whose sha256 is wrong, and costs only its own member."""
    try:
        return base64.b85decode("".join(text.split()))
    except ValueError:
        return text.encode()


def launch() -> None:
    """Unpack, run soundpost.launch.main in this process, clean up; end with its status."""
    in_cell = "__file__" not in globals()  # a notebook's argv is that of its kernel, and SystemExit an error to it
    for name in [name for name in sys.modules if name.partition(".")[0] == "soundpost"]:
        del sys.modules[name]  # of another run in the same notebook
    folder = unpack()
    sys.path.insert(0, str(folder))
    try:
        from soundpost.launch import requirements

        if lack := requirements.missing():
            print(f"error: {lack}")
            status = 2
        else:
            from soundpost.launch.main import main

            status = main([] if in_cell else sys.argv[1:], SETTINGS)
    except Exception:
        if in_cell:
            raise
        traceback.print_exc()
        status = 1
    finally:
        sys.path.remove(str(folder))
        shutil.rmtree(folder, ignore_errors=True)
    if status and in_cell:
        raise RuntimeError(f"Soundpost ended with status {status}. The lines above say why; correct it and run again.")
    if status:
        sys.exit(status)


if __name__ == "__main__":
    launch()
