"""docs/your_model.md followed to the letter, with a network that is not ours; and what add refuses."""

import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from soundpost.errors import KitError, SettingsError, WeightsError
from soundpost.importers.add import Adding, add, name_in_submission
from soundpost.importers.matching import matched
from soundpost.models.compact import Compact, CompactSettings

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "your_model.md").read_text("utf-8")
LABELS = ("Bark", "Rain", "Siren", "Tick-tock")
FRONT_END = {"name": "log_mel", "sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 16}
TABLE = {
    "audio": {"sample_rate": 16000},
    "front_end": FRONT_END,
    "model": {"name": "compact", "bins": 16, "widths": [4, 6], "strides": [2, 2]},
}


def _block(kind: str, after: str) -> str:
    """The first block of a kind behind some words of the page."""
    found = re.search(rf"```{kind}\n(.*?)```", PAGE[PAGE.index(after) :], re.DOTALL)
    assert found, after
    return found[1]


@pytest.mark.parametrize(
    ("width", "is_split"),
    [
        (16, False),
        (96, False),
        pytest.param(16, True, marks=pytest.mark.slow),
        pytest.param(96, True, marks=pytest.mark.slow),
    ],
    ids=["inside the kernel", "by a dataset", "of three files, inside the kernel", "of three files, by a dataset"],
)
def test_page_followed_to_the_letter_ends_in_a_submission(
    make_clips: Callable[..., Path], tmp_path: Path, width: int, is_split: bool
) -> None:
    """The files and commands as they stand: foreign folds answer every clip as their own program does."""
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "weights").mkdir()
    shutil.copy(ROOT / "weights" / "submission.toml", checkout / "weights")
    shutil.copy(ROOT / "build_kernel.py", checkout)
    for entry in make_clips((0.4, 1.0, 1.5)).iterdir():
        shutil.move(entry, checkout)
    code = _block("python", "`my_cnn.py`").replace("width: int = 16", f"width: int = {width}")
    if is_split:
        (checkout / "nets").mkdir()
        (checkout / "nets" / "cnn.py").write_text(code.replace("from torch import nn", "from .kinds import nn"))
        (checkout / "nets" / "kinds.py").write_text("from torch import nn as nn\n")
        code = "from nets.cnn import MyCnn as MyCnn\n"
    (checkout / "my_cnn.py").write_text(code)
    (checkout / "reference.py").write_text(_block("python", "`reference.py`"))
    (checkout / "mine.toml").write_text(_block("toml", "`mine.toml`"))
    _train(checkout)
    said = "".join(_follow(line, checkout) for line in _commands())

    with (checkout / "submission.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["fname", *LABELS]
    assert len({tuple(row[1:]) for row in rows}) == 3
    assert said.count("verdict: fits: 2 passes over 3,361 clips") == 1
    assert "2 of 2 passes complete" in said
    assert f"code that travels: {3 if is_split else 1} files, " in said
    assert (checkout / "dist" / "weights-dataset").is_dir() == (width == 96)
    assert [line.split()[:2] for line in said.splitlines() if " agrees " in line] == [
        ["waveform", "agrees"],
        ["spectrogram", "agrees"],
        ["logits", "agrees"],
    ]
    assert said.rstrip().endswith("mine answers as mine.npz does")


def _train(folder: Path) -> None:
    """Two checkpoints as a training loop would leave them: inside a wrapper."""
    program = (
        "import torch\nfrom my_cnn import MyCnn\n"
        "for fold in (0, 1):\n"
        "    torch.manual_seed(fold)\n"
        f"    arrays = MyCnn({len(LABELS)}).state_dict()\n"
        "    state = {f'net.{name}': array for name, array in arrays.items()}\n"
        "    torch.save({'epoch': 9, 'state_dict': state}, f'fold{fold}.pth')\n"
    )
    subprocess.run([sys.executable, "-B", "-c", program], cwd=folder, check=True)


def _commands() -> list[str]:
    return "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines()


def _follow(line: str, checkout: Path) -> str:
    """What a command of the page prints."""
    program, *arguments = shlex.split(line)
    arguments = {"python": [], "soundpost": ["-m", "soundpost.cli"]}[program] + arguments
    if arguments[0] == "kernel.py":
        arguments += ["--progress", "lines", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout / "src"), "TMPDIR": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


# ------------------------------------------------------------ what does not fit


def _wanted() -> dict[str, torch.Tensor]:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).state_dict()


def test_matched_shared_beginnings_are_dropped() -> None:
    """However deep the training loop wrapped the network, the names come out."""
    arrays = {f"module.net.{name}": value for name, value in _wanted().items()}

    assert set(matched(arrays, _wanted(), "x.pth")) == set(_wanted())


def test_matched_counters_that_old_files_lack_are_filled() -> None:
    """Batch norms of 2018 did not count their batches."""
    arrays = {name: value for name, value in _wanted().items() if "tracked" not in name}

    assert matched(arrays, _wanted(), "x.pth")["1.num_batches_tracked"] == 0


def test_matched_other_names_are_shown_from_both_sides() -> None:
    """The message holds what --rename needs."""
    arrays = {name.replace("0.", "fc."): value for name, value in _wanted().items()}

    with pytest.raises(WeightsError, match=r"has 0\.bias, 0\.weight that the file lacks, the file has fc\.bias"):
        matched(arrays, _wanted(), "x.pth")


def test_matched_other_shape_is_named() -> None:
    """Another number of labels is found here."""
    arrays = {**_wanted(), "0.weight": torch.zeros(5, 3)}

    with pytest.raises(WeightsError, match=r"0\.weight is \(5, 3\) in the file and \(2, 3\) in the network"):
        matched(arrays, _wanted(), "x.pth")


@pytest.mark.parametrize(
    ("table", "scores", "words", "kind"),
    [
        ({"model": {"name": "compact"}}, (), "no front_end", SettingsError),
        ({**TABLE, "model": {"name": "unknown"}}, (), "model 'unknown' is not known", SettingsError),
        (TABLE, (0.5, 0.6), "2 scores for 1 checkpoints", SettingsError),
        ({**TABLE, "front_end": {**FRONT_END, "n_mels": 8}}, (), "does not take", WeightsError),
        (TABLE, (1.2,), "--score 1.2 is no lwlrap", SettingsError),
        ({**TABLE, "audio": {}}, (), r"no sample_rate in \[audio\]", SettingsError),
        ({**TABLE, "audio": {"sample_rate": 44100}}, (), "gives 44100 Hz and .* takes it for 16000 Hz", SettingsError),
        (
            {**TABLE, "front_end": {"name": "log_mel", "n_mels": 16}},
            (),
            r"gives 16000 Hz and .* for 44100 Hz \(its default\)",
            SettingsError,
        ),
    ],
)
def test_add_what_does_not_fit_together_is_refused_and_not_written(
    tmp_path: Path, table: dict[str, object], scores: tuple[float, ...], words: str, kind: type[KitError]
) -> None:
    """Settings, scores, front end and network are checked before a file is made."""
    network = Compact(CompactSettings(bins=16, widths=(4, 6), strides=(2, 2)), len(LABELS))
    torch.save(network.state_dict(), tmp_path / "fold.pth")

    with pytest.raises(kind, match=words):
        add([tmp_path / "fold.pth"], tmp_path, "mine", table, LABELS, Adding(scores=scores))
    assert not (tmp_path / "mine").exists()


def test_name_in_submission_joins_or_stands_alone(make_assets: Callable[..., Path]) -> None:
    """A recipe joins those that are there once, or takes their place."""
    weights = make_assets({}, {})
    for _ in range(2):
        name_in_submission(weights, "tiny0", alone=False)
    joined = (weights / "submission.toml").read_text()
    name_in_submission(weights, "tiny0", alone=True)

    assert [re.sub(r"\s", "", text) for text in re.findall(r"recipes = \[(.*?)\]", joined, re.DOTALL)] == [
        '"tiny1","tiny0",'
    ]
    assert "tiny1" not in (weights / "submission.toml").read_text()
