"""Soundpost in one file: a folder of audio clips in, submission.csv out. Runs as a script or pasted in a notebook cell.

On Kaggle nothing needs to be set: the competition's clips and its sample_submission.csv are found. Elsewhere:

    python kernel.py --test-dir CLIPS --sample-submission sample_submission.csv --out submission.csv

Below stand, in this order: settings, the loader, an index of the source, the source as one compressed block, the
recipes, and the weights. Nothing is hidden in the block: it is the repository's source, byte for byte, and

    python kernel.py --contents         lists every file that this one carries
    python kernel.py --unpack FOLDER    writes them all out; there, python -m soundpost.launch.main runs them
"""

import argparse
import base64
import bz2
import hashlib
import json
import linecache
import shutil
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

# What a person may change, in Kaggle's editor. Any option of the command line may stand here (kernel.py --help lists
# them all); None means the default, and what is given on the command line comes first.
SETTINGS: dict[str, object] = {
    "test-dir": None,  # folder of the clips; None: the competition's, found under /kaggle/input
    "sample-submission": None,  # csv whose rows and columns are filled; None: the competition's
    "out": "submission.csv",
    "time-limit": None,  # what the whole run may take, from its start to the last written row
    "memory-limit": None,  # what all processes together may take, such as "12G"; None: what the machine allows
    "disk-limit": None,  # what spilled spectrograms may take, such as "4G"; None: half of what is free
    "device": "auto",  # or "cpu", "cuda", "cuda:0,cuda:1"
    "workers": None,  # processes that decode and compute features; None: by the cores
    "members": None,  # such as "compact/1,compact/3"; None: all that this file carries
    "log": None,  # a file that gets a copy of the log
    "report": None,  # such as "report.html": the run as one page of pictures, in the time that it leaves
}

ENTRY = "soundpost.launch.main"  # the module whose main runs
BUILD = ""  # names this build: sha256 of everything it carries
SOURCE = ""  # the block: JSON of path -> text, compressed by bz2, in base85
SOURCE_SHA256 = ""  # the sha256 of the compressed bytes
FILES: dict[str, str] = {}  # path -> text of a recipe, or a member's pack of weights in base85
HASHES: dict[str, str] = {}  # path of a recipe -> sha256 of its text; the hashes of packs stand in their recipe.toml


class Refusal(RuntimeError):
    """This file cannot be run, or cannot be written out, as it was asked; the message says why and what to do."""


def carried() -> dict[str, bytes]:
    """Every file that this one carries, by its path, after the hashes of source and recipes were found to be right.

    Raises:
        Refusal: something was changed since this file was built.
    """
    block = binary(SOURCE)
    found = hashlib.sha256(block).hexdigest()
    if found != SOURCE_SHA256:
        raise Refusal(
            f"the block of source was changed since this file was built: its sha256 is {found[:12]}..., and "
            f"{SOURCE_SHA256[:12]}... was expected. Copy the whole file again, or build it again. To run changed "
            "source, let an intact file write it out with --unpack FOLDER, change it there, and run "
            f"python -m {ENTRY} there."
        )
    texts = {path: text.removeprefix("\n") for path, text in FILES.items()}
    changed = [path for path in HASHES if hashlib.sha256(texts.get(path, "").encode()).hexdigest() != HASHES[path]]
    if changed:
        raise Refusal(
            f"changed since this file was built: {', '.join(changed)}. Build it again; or, to run it so, delete the "
            "line of that file in HASHES."
        )
    source = {path: text.encode() for path, text in json.loads(bz2.decompress(block)).items()}
    return source | {path: binary(text) if path.endswith(".pack") else text.encode() for path, text in texts.items()}


def binary(text: str) -> bytes:
    """The bytes that a base85 text stands for; a damaged one stays text, whose sha256 is wrong.

    A pack with a wrong sha256 costs its own member alone, because it is checked only when that member is loaded.
    """
    try:
        return base64.b85decode("".join(text.split()))
    except ValueError:
        return text.encode()


def write_out(files: dict[str, bytes], folder: Path) -> None:
    """Write every file under a folder.

    Raises:
        Refusal: the folder holds something already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if held := sorted(path.name for path in folder.iterdir()):
            raise Refusal(
                f"{folder} is not empty: it holds {', '.join(held[:3])}{', ...' if len(held) > 3 else ''}. Name a "
                "folder that is empty or not there yet."
            )
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    except OSError as error:
        raise Refusal(
            f"{folder}: files cannot be written there ({error.strerror}). Make room, or name another."
        ) from error


def contents(files: dict[str, bytes]) -> str:
    """One line for each file: lines (of text), bytes, sha256, path."""
    rows = [
        f"{'' if path.endswith('.pack') else data.count(10):>5}  {len(data):>9,}  "
        f"{hashlib.sha256(data).hexdigest()}  {path}"
        for path, data in files.items()
    ]
    total = f"{len(files)} files, {sum(map(len, files.values())):,} bytes, build {BUILD[:12]}"
    return "\n".join([f"{'lines':>5}  {'bytes':>9}  {'sha256':<64}  path", *rows, total])


def unpack(files: dict[str, bytes]) -> Path:
    """A fresh private folder with every file, so that tracebacks show true names and lines, and children import.

    Raises:
        Refusal: there is no room for it.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"soundpost-{BUILD[:12]}-"))  # mode 0700: nobody else can read or write
    except OSError as error:
        raise Refusal(f"no temporary folder can be made ({error.strerror}). Make room, or set TMPDIR.") from error
    try:
        write_out(files, folder)
    except Refusal:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    for name, data in files.items():
        if name.endswith(".py"):  # an entry without a time stays, for tracebacks that are shown when its file is gone
            path = str(folder / name)
            linecache.cache[path] = (len(data), None, data.decode().splitlines(keepends=True), path)
    return folder


def run() -> int:
    """Unpack, run ENTRY in this process, clean up; the exit status."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "soundpost"]:
        del sys.modules[name]  # another run in the same notebook may have left them
    folder = unpack(carried())
    sys.path.insert(0, str(folder))
    try:
        from soundpost.launch import requirements

        if lack := requirements.missing():
            print(f"error: {lack}")
            return 2
        return int(import_module(ENTRY).main(None, SETTINGS))
    finally:
        sys.path.remove(str(folder))
        shutil.rmtree(folder, ignore_errors=True)


def launch() -> None:
    """Do what the command line asks for, and end with the status of that."""
    in_cell = "__file__" not in globals()  # to a notebook, SystemExit is an error, and an exception is the way to fail
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    own.add_argument("--contents", action="store_true")
    own.add_argument("--unpack", metavar="FOLDER", type=Path)
    asked, others = own.parse_known_args()
    status = 0
    try:
        if (asked.contents or asked.unpack) and others:
            raise Refusal(f"--contents and --unpack do not run anything, so {' '.join(others)} says nothing to them.")
        if asked.contents:
            print(contents(carried()))
        if asked.unpack:
            files = carried()
            write_out(files, asked.unpack)
            print(f"{len(files)} files are in {asked.unpack}; there, python -m {ENTRY} runs them")
        if not asked.contents and not asked.unpack:
            status = run()
    except Refusal as refusal:
        if in_cell:
            raise
        print(f"error: {refusal}")
        status = 2
    except SystemExit as end:  # an argument cannot be used, or --help was asked for
        status = end.code if isinstance(end.code, int) else 0
    except Exception:
        if in_cell:
            raise
        traceback.print_exc()
        status = 1
    if status and in_cell:
        raise RuntimeError(f"Soundpost ended with status {status}. The lines above say why; correct it and run again.")
    if status:
        sys.exit(status)


if __name__ == "__main__":
    launch()
