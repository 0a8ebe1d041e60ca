"""A stand-in checkout, small and quick, from which kernels are built and run."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from soundpost.kernel.build import build
from soundpost.kernel.dependencies import collect
from soundpost.kernel.render import Kernel

ROOT = Path(__file__).resolve().parents[2]
# The kit's own modules that the stand-ins for main and engine need, by path; the families are stand-ins, too.
REAL = collect(
    ROOT / "src",
    [
        "soundpost.arguments",
        "soundpost.ensemble.weights_folder",
        "soundpost.launch.requirements",
        "soundpost.registry",
    ],
)
MAIN = '''"""Runs the engine in a child and writes what it answers beside what main was given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import soundpost
from soundpost.arguments import own_arguments


def main(argv, settings):
    """Status 0, or what the option --status says; any other option is an error that was not foreseen."""
    given = own_arguments() if argv is None else argv
    if given and given[0] == "--status":
        return int(given[1])
    if given:
        raise ValueError(f"stand-in does not know {given}")
    source = Path(soundpost.__file__).parent.parent
    command = [sys.executable, "-m", "soundpost.launch.engine_process"]
    child = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True)
    print(child.stderr, file=sys.stderr)
    answer = {"sum": json.loads(child.stdout), "settings": settings, "source": str(source)}
    answer["mode"] = oct(source.stat().st_mode & 0o777)
    Path(os.environ["ANSWER"]).write_text(json.dumps(answer))
    return child.returncode
'''
ENGINE = '''"""Adds up what every member's arrays sum to."""

from soundpost.ensemble.weights_folder import default_root, find_assets

if __name__ == "__main__":
    assets = find_assets(default_root())
    print(sum(float(assets.arrays(m)["w"].sum()) for r in assets.submission.recipes for m in r.members))
'''


def make_kit(folder: Path) -> Path:
    """A checkout with the real loader and readers, stand-ins for the rest, and one recipe of two members."""
    package = folder / "src" / "soundpost"
    package.mkdir(parents=True)
    for path in (*REAL, "soundpost/launch/loader.py"):
        (package.parent / path).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "src" / path, package.parent / path)
    (package / "launch" / "main.py").write_text(MAIN)
    (package / "launch" / "engine_process.py").write_text(ENGINE)
    for family, entry in (("models", "small"), ("front_ends", "small"), ("views", "whole")):
        (package / family).mkdir()
        (package / family / "__init__.py").write_text(
            f'{family.upper()}: dict[str, str] = {{"{entry}": "soundpost.{family}.{entry}:X", "other": "scipy:X"}}\n'
        )
        (package / family / f"{entry}.py").write_text('"""Stand-in."""\n\nimport numpy as np\n\nX = np.float32\n')
    weights = folder / "weights"
    (weights / "tiny").mkdir(parents=True)
    (weights / "submission.toml").write_text('format = 1\nrecipes = ["tiny"]\n')
    recipe = 'format = 1\nname = "tiny"\nlabels = ["Rain"]\nfront_end = {name = "small"}\nmodel = {name = "small"}\n'
    for fold in (1, 2):
        path = weights / "tiny" / f"fold{fold}.safetensors"
        save_file({"w": np.full(3, fold, np.float32)}, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        recipe += f'[[members]]\nfold = "{fold}"\nfile = "{path.name}"\nsha256 = "{digest}"\n'
    (weights / "tiny" / "recipe.toml").write_text(recipe)
    return folder


def build_kit(kit: Path, *members: str) -> Kernel:
    """Its kernel, with these members or all."""
    return build(kit / "src", kit / "weights" / "submission.toml", members)


def run_alone(kernel: str, folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """kernel.py alone in a new folder, in a Python that does not know the checkout; answer.json comes beside it."""
    folder.mkdir()
    (folder / "kernel.py").write_text(kernel)
    temporary = folder.with_name(f"{folder.name}-temporary")
    temporary.mkdir()
    known = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "TMPDIR")}
    known |= {"TMPDIR": str(temporary), "ANSWER": str(folder.with_name("answer.json")), **environment}
    command = [sys.executable, str(folder / "kernel.py"), *options]
    result = subprocess.run(command, cwd=temporary, env=known, capture_output=True, text=True, check=False)
    assert list(temporary.glob("soundpost-*")) == [], "the unpacked folder was left behind"
    return result
