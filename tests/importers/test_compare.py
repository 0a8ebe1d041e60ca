"""A person's own answers against the kit's: where they part, and what is refused."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch

from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.weights_folder import find_assets
from soundpost.errors import SettingsError
from soundpost.importers.__main__ import main
from soundpost.importers.compare import compare
from soundpost.importers.reference import read_reference
from soundpost.inference.in_memory import answer, spectrograms_of

LABELS = ("Bark", "Rain", "Siren", "Tick-tock")
RATE = 16000


class Own:
    """Two clips, a recipe, and what a program with the same settings makes of them."""

    def __init__(self, weights: Path, clips: Path, folder: Path) -> None:
        self.weights, self.clips, self.folder = weights, clips, folder
        self.names = sorted(path.name for path in clips.glob("*.wav"))
        assets = find_assets(weights)
        (recipe,) = assets.submission.recipes
        self.waveforms = [decode(clips / name, AudioSettings(sample_rate=RATE)).waveform for name in self.names]
        self.spectrograms = spectrograms_of(recipe, self.waveforms, torch.device("cpu"))
        by_fold = [answer(recipe, m, assets.arrays(m), self.spectrograms, len(recipe.views)) for m in recipe.members]
        self.folds = [member.fold for member in recipe.members]
        self.probabilities = np.stack(by_fold)

    def save(self, **arrays: Any) -> Path:
        """An .npz of these arrays."""
        path = self.folder / "mine.npz"
        np.savez(path, **{"clips": np.array(self.names), **arrays})
        return path

    def stages(self, kind: str, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Arrays by the names that a reference has for them."""
        return {f"{kind}:{name}": array for name, array in zip(self.names, arrays, strict=True)}

    def change(self, table: str, **settings: Any) -> None:
        """Another setting of the recipe."""
        path = self.weights / "tiny0" / "recipe.toml"
        recipe = tomllib.loads(path.read_text())
        recipe[table] |= settings
        path.write_text(tomli_w.dumps(recipe))

    def compare(self, reference: Path, fold: str = "") -> int:
        """The status of the comparison."""
        return compare(self.weights, "tiny0", reference, self.clips, fold)


@pytest.fixture
def own(make_assets: Callable[..., Path], make_clips: Callable[..., Path], tmp_path: Path) -> Own:
    """A recipe of two folds and its own answers."""
    return Own(make_assets({"folds": 2}), make_clips((0.5, 1.2)) / "test", tmp_path)


def test_compare_equal_answers_agree_at_every_stage(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    """All folds together, as the kernel answers."""
    arrays = own.stages("waveform", own.waveforms) | own.stages("spectrogram", [s[0] for s in own.spectrograms])

    assert own.compare(own.save(probabilities=own.probabilities.mean(0), **arrays)) == 0

    printed = capsys.readouterr().out
    assert [line.split()[:2] for line in printed.splitlines()[:3]] == [
        ["waveform", "agrees"],
        ["spectrogram", "agrees"],
        ["probabilities", "agrees"],
    ]


def test_compare_logits_of_one_fold_agree(own: Own) -> None:
    """Whatever the recipe averages; one window a clip here, so that both are the same."""
    probabilities = own.probabilities[0]

    assert own.compare(own.save(logits=np.log(probabilities / (1 - probabilities))), own.folds[0]) == 0


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("waveform", lambda w: w * 32768, "yours is ours times 3.277e"),
        ("waveform", lambda w: w[:-5], "ours is .*, yours"),
        ("waveform", lambda w: np.roll(w, 1), "largest difference"),
        ("spectrogram", lambda s: s - 30.0, r"yours is ours -30 everywhere"),
        ("spectrogram", lambda s: s[:, :, :-1], "ours is .*, yours"),
        ("spectrogram", lambda s: s * np.nan, "values that are not finite"),
    ],
)
def test_compare_names_the_first_stage_that_parts(
    own: Own, capsys: pytest.CaptureFixture[str], kind: str, change: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    """And what kind of difference it is, where it is a simple one."""
    own_arrays = {"waveform": own.waveforms, "spectrogram": own.spectrograms}[kind]
    arrays = own.stages(kind, [change(array) for array in own_arrays])

    assert own.compare(own.save(probabilities=own.probabilities.mean(0) * 0.5, **arrays)) == 3

    printed = capsys.readouterr().out
    assert f"they part at the {kind}: look at" in printed
    assert re.search(words, printed), printed


def test_compare_padding_of_another_era_is_recognised(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    """The default that most people meet: librosa pads with zeros since 0.9."""
    arrays = own.stages("spectrogram", own.spectrograms)
    own.change("front_end", pad_mode="constant")

    assert own.compare(own.save(**arrays)) == 3
    assert "only in the first and last frames, where padding counts" in capsys.readouterr().out


def test_compare_csv_of_other_answers_says_how_to_see_more(own: Own, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns in any order; the worst label of the worst clip is named."""
    mean = own.probabilities.mean(0)
    mean[1, 2] = 1 - mean[1, 2] if abs(mean[1, 2] - 0.5) > 0.1 else 0.99
    order = [2, 0, 3, 1]
    rows = [",".join([name, *(repr(float(row[i])) for i in order)]) for name, row in zip(own.names, mean, strict=True)]
    path = own.folder / "mine.csv"
    path.write_text("\n".join([",".join(["fname", *(LABELS[i] for i in order)]), *rows]) + "\n")

    assert main(["compare", "--recipe", "tiny0", "--reference", str(path), "--clips", str(own.clips), "--weights",
                 str(own.weights)]) == 3  # fmt: skip

    printed = capsys.readouterr().out
    assert f"at Siren of {own.names[1]}" in printed
    assert "save waveform:NAME and spectrogram:NAME" in printed


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, "nothing to compare in clips"),
        ({"logits": np.zeros((2, 3))}, r"answers \(2, 3\) for 2 clips and 4 labels"),
        ({"logits": np.full((2, 4), np.inf)}, "not finite"),
        ({"logits": np.zeros((2, 4)), "waveform:other.wav": np.zeros(4)}, r"other\.wav is not among clips"),
    ],
)
def test_reference_that_cannot_be_compared_is_refused(own: Own, arrays: dict[str, np.ndarray], words: str) -> None:
    """With what is wrong about it."""
    with pytest.raises(SettingsError, match=words):
        read_reference(own.save(**arrays), LABELS)


def test_reference_with_objects_in_it_is_refused(tmp_path: Path) -> None:
    """An .npz of objects would be unpickled."""
    np.savez(tmp_path / "x.npz", clips=np.array([{}], dtype=object))

    with pytest.raises(SettingsError, match=r"Give a \.csv, or an \.npz"):
        read_reference(tmp_path / "x.npz", LABELS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fname,Bark\na.wav,1\n", "no column Rain, Siren, Tick-tock"),
        (f"fname,{','.join(LABELS)}\na.wav,1\n", "line 2: 2 cells, not 5"),
        (f"fname,{','.join(LABELS)}\na.wav,1,2,3,much\n", "could not convert string to float"),
        (f"fname,{','.join(LABELS)}\n", "no clip in it"),
        ("", "no column Bark"),
    ],
)
def test_reference_table_that_cannot_be_read_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """By line, where there is one."""
    (tmp_path / "x.csv").write_text(text)

    with pytest.raises(SettingsError, match=words):
        read_reference(tmp_path / "x.csv", LABELS)


def test_compare_what_is_not_there_is_refused(own: Own) -> None:
    """Recipe, fold, clips: each by name."""
    logits = own.save(logits=np.zeros((2, 4)))
    with pytest.raises(SettingsError, match=r"holds logits and tiny0 has 2 folds\. Say with --fold"):
        own.compare(logits)
    with pytest.raises(SettingsError, match="--fold 9 is not in tiny0; known: 1, 2"):
        own.compare(logits, "9")
    with pytest.raises(SettingsError, match="--recipe other is not in"):
        compare(own.weights, "other", logits, own.clips)
    with pytest.raises(SettingsError, match="without --clips"):
        compare(own.weights, "tiny0", logits, None)
    with pytest.raises(SettingsError, match=r"no file .* \(2 not there\)"):
        compare(own.weights, "tiny0", logits, own.folder)
