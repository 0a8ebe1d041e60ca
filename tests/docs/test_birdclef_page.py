"""docs/birdclef.md followed to the letter: a checkpoint of timm, made recordings, numeric columns, a stub sample."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torchvision_beside_cpu_torch import has_timm

from soundpost.after import AFTER
from soundpost.contest.shapes import SHAPES
from soundpost.importers.recipe_files import TEMPLATES
from soundpost.models.timm_body import HEADS, TimmNetwork, TimmSettings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "birdclef.md").read_text("utf-8")
COLUMNS = ("1139490", "0012", "47158son16", "nan", "yehcar1")
RATE = 32000
NAMES = ("BC2026_Test_0001_S05_20250227_010002", "BC2026_Test_0002_S15_20250301_060002")


def _blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def _make_contest(folder: Path) -> None:
    """Two recordings, one of them a little longer than whole windows, and a stub sample that names neither."""
    (folder / "test_soundscapes").mkdir(parents=True)
    (folder / "test_soundscapes" / "readme.txt").write_text("Recordings are put here.\n")
    for number, (name, samples) in enumerate(zip(NAMES, (20 * RATE + 32, 10 * RATE), strict=True)):
        random = np.random.default_rng(number)
        time = np.arange(samples) / RATE
        sound = 0.2 * np.sin(2 * np.pi * (500 + 900 * np.floor(time / 5)) * time) + random.normal(0, 0.02, samples)
        soundfile.write(folder / "test_soundscapes" / f"{name}.ogg", sound, RATE)
    rows = [[f"BC2026_Test_0009_S01_20250101_000000_{end}", *[1 / len(COLUMNS)] * len(COLUMNS)] for end in (5, 10, 15)]
    with (folder / "sample_submission.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["row_id", *COLUMNS], *rows])


def _checkpoint(path: Path, settings: dict[str, object], seed: int) -> None:
    """Random weights as a training loop saves them, with the buffers of a front end among them."""
    torch.manual_seed(seed)
    own = {key: value for key, value in settings.items() if key != "name"}
    state = TimmNetwork(TimmSettings(**own), len(COLUMNS)).state_dict()  # type: ignore[arg-type]
    torch.save({"epoch": 3, "state_dict": {f"model.{name}": value for name, value in state.items()}}, path)


@pytest.mark.skipif(not has_timm(), reason="timm is not installed; see requirements-timm.txt")
def test_page_followed_to_the_letter_ends_in_a_submission_that_would_be_scored(tmp_path: Path) -> None:
    """Every command as it stands, in a copy of the sources with no weights but those of the page."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "weights").mkdir()
    shutil.copy(ROOT / "weights" / "submission.toml", checkout / "weights")
    shutil.copy(ROOT / "build_kernel.py", checkout)
    _make_contest(checkout)
    settings, after = _blocks("toml")
    (checkout / "birds.toml").write_text(settings)
    for fold in (0, 1):
        _checkpoint(checkout / f"fold{fold}.ckpt", tomllib.loads(settings)["model"], fold)
    paths = [str(ROOT / "tests" / "timm_site"), str(checkout / "src")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(checkout)}
    said = ""
    for line in "".join(_blocks("sh")).splitlines():
        program, *arguments = shlex.split(line)
        arguments = {"python": [], "soundpost": ["-m", "soundpost.cli"]}[program] + arguments
        if arguments[0].endswith("kernel.py") and arguments[0] != "build_kernel.py":
            # Rows of a network with drawn weights differ by less than half precision tells apart.
            arguments += ["--progress", "lines", "--device", "cpu", "--precision", "float32"]
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        said += done.stdout
        if "soundpost import" in line:
            with (checkout / "weights" / "submission.toml").open("a") as file:
                file.write(after)

    with (checkout / "submission.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["row_id", *COLUMNS]
    assert [row[0] for row in rows] == [
        f"{name}_{5 * (i + 1)}" for name, n in zip(NAMES, (4, 2), strict=True) for i in range(n)
    ]
    assert len({tuple(row[1:]) for row in rows}) == len(rows)
    assert "2 of 2 passes complete" in said
    assert "rows, columns and values are what the contest asks for" in said


def test_page_names_every_shape_head_and_no_step_that_is_not_there() -> None:
    """What is listed on the page is what the registries hold."""
    listed = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
    heads = re.search(r'head = "(\w+)"\s+# or (.*)$', PAGE, re.MULTILINE)
    assert heads is not None
    steps = set(re.findall(r'\[\[after\]\]\nname = "(\w+)"', PAGE))
    assert listed == set(SHAPES)
    assert {heads[1], *heads[2].split(", ")} == set(HEADS)
    assert steps
    assert steps <= set(AFTER)
    assert list(TEMPLATES.glob("birdclef_*.toml"))
