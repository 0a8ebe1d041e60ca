"""The commands of docs/training.md, one after the other, on plans, networks and folders of reduced size."""

import re
import shlex
from pathlib import Path

import pytest
from small_plans import make_clips, small_plan

from soundpost.cli import main
from soundpost.training import forecast
from soundpost.training.plan import plan_names

ROOT = Path(__file__).resolve().parents[2]
SMALLER = {  # command -> words in place of the page's, and further ones
    "train": ({"cuda:0,cuda:1": "cpu"}, []),
    "second-level": ({"20": "1"}, ["--epochs", "1", "--draws", "64"]),
    "build": ({}, ["--out", "kernel.py", "--dist", "dist"]),
    "tag": ({}, ["--device", "cpu", "--quiet"]),
    "pseudo-label": ({"top=2,threshold=0.3": "top=2"}, []),
    "evaluate": ({}, []),
}


def commands() -> list[list[str]]:
    """What the page shows, lines that go on joined, without what asks for a package index."""
    text = (ROOT / "docs" / "training.md").read_text("utf-8").replace("\\\n", " ")
    page = text.split("Called again, the same command")[0]
    found = re.findall(r"^    (soundpost .*)$", page, re.MULTILINE)
    return [shlex.split(line)[1:] for line in found]


def smaller(words: list[str], folder: Path) -> list[str]:
    """The same command over what is small."""
    key = words[1] if words[0] == "ensemble" else words[0]
    other, more = SMALLER.get(key, ({}, []))
    found: list[str] = []
    for word in words:
        if word in plan_names():
            found.append(str(small_plan(word, folder)))
        elif "*" in word:
            found += sorted(str(path) for path in Path().glob(word))
        else:
            found.append(other.get(word, word))
    if key == "train" and "--device" not in found and "--list" not in found:
        more = ["--device", "cpu"]
    return [*found, *more]


@pytest.mark.slow
def test_commands_of_the_page_lead_from_folders_to_a_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every one ends with status 0; a submission, a kernel and a recipe of pseudo-labelled clips are there."""
    folder = make_clips(tmp_path / "contest")
    for kind in ("curated", "noisy"):
        (folder / kind).rename(folder / f"train_{kind}")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(forecast, "seconds_per_draw", lambda plan, device: 0.1)
    given = commands()
    assert [words[0] for words in given][:6] == ["train", "train", "train", "ensemble", "ensemble", "build"]
    for words in given:
        assert main(smaller(words, folder)) == 0, (words, capsys.readouterr().err[-2000:])
    assert (folder / "weights" / "submission.toml").is_file()
    assert (folder / "kernel.py").stat().st_size > 100_000
    assert len(list((folder / "weights" / "v1mix").glob("fold*.safetensors"))) == 2
