"""soundpost.load(...).predict(...): trained weights asked from Python, without a contest around them.

The answers are those of kernel.py in float32: the same members, views and blend, in memory and on one device.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from soundpost.audio.decode import AudioSettings
from soundpost.audio.sound import Sound, batches, from_array, hear
from soundpost.contest.audio_files import find_audio_files
from soundpost.ensemble.column_blend import blend_columns
from soundpost.ensemble.columns import map_all
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.ensemble.weights_folder import Assets, default_root, find_assets
from soundpost.errors import ClipError, SettingsError
from soundpost.inference.devices import choose_devices
from soundpost.inference.embedding import embed
from soundpost.inference.in_memory import answers_by, spectrograms_of
from soundpost.inference.predictor import Predictor
from soundpost.inference.stacking import ready_blend
from soundpost.registry import settings_from

if TYPE_CHECKING:
    import pandas as pd

Place = str | os.PathLike[str]
Heard = tuple[Sequence[int], Sequence[np.ndarray]]  # which of several sounds could be read, and their spectrograms


class Tagger:
    """Trained members that answer files, arrays and folders. Made by load().

    Args:
        assets: submission, recipes and weights.
        device: "auto", "cpu", "cuda" or "cuda:1"; one of them is used.
        members: names such as "compact/1"; empty: all.
        views: how many of each recipe's views, the cheapest first; 0: all.

    Raises:
        SettingsError: a member that is not there.
        WeightsError: weights that are missing or altered.
        DeviceError: a device that does not work.
    """

    def __init__(self, assets: Assets, device: str, members: Sequence[str], views: int) -> None:
        recipes = assets.submission.recipes
        everyone = [(recipe, member) for recipe in recipes for member in recipe.members]
        known = [member.name for _, member in everyone]
        if unknown := sorted(set(members) - set(known)):
            raise SettingsError(f"no members {', '.join(unknown)}; known: {', '.join(known)}. Correct the names.")
        chosen = [(r, m) for r, m in everyone if not members or m.name in members]
        self.device = choose_devices(device)[0]
        self.labels: tuple[str, ...] = tuple(dict.fromkeys(label for r, _ in chosen for label in r.labels))
        self.members: tuple[str, ...] = tuple(member.name for _, member in chosen)
        self._views = views
        self._predictors: list[tuple[Recipe, Predictor]] = [
            (recipe, Predictor(recipe, member, assets.arrays(member), self.device, "")) for recipe, member in chosen
        ]
        self._folds: dict[str, list[int]] = {}  # recipe -> numbers of its members
        for number, (recipe, _) in enumerate(chosen):
            self._folds.setdefault(recipe.name, []).append(number)
        self._maps = map_all(tuple({r.name: r for r, _ in chosen}.values()), self.labels)

        def arrays(_: Recipe, member: Member) -> Mapping[str, np.ndarray]:
            return assets.arrays(member)

        self._blend, skipped = ready_blend(assets.submission, self.members, self.labels, arrays)
        for name, reason in skipped.items():
            warnings.warn(f"{name} is left out of the blend: {reason}", stacklevel=3)

    @overload
    def predict(self, audio: np.ndarray, sample_rate: int) -> dict[str, float]:
        """One waveform."""

    @overload  # a str is a sequence of str, too; as a Place it comes first
    def predict(self, audio: Place) -> "dict[str, float] | pd.DataFrame":  # type: ignore[overload-overlap]
        """A file, or a folder."""

    @overload
    def predict(self, audio: Sequence[Place | np.ndarray], sample_rate: int = 0) -> "pd.DataFrame":
        """Several files and waveforms."""

    def predict(
        self, audio: Place | np.ndarray | Sequence[Place | np.ndarray], sample_rate: int = 0
    ) -> "dict[str, float] | pd.DataFrame":
        """Probabilities of every label.

        Args:
            audio: a file, a folder (with all below it), a waveform (samples,) or (samples, channels), or several files
                and waveforms.
            sample_rate: Hz, of waveforms.

        Returns:
            {label: probability} for one file or waveform; for a folder or several a DataFrame with a row for each, by
            name or number, and a column for each label. A file among several that cannot be read has a row of NaN, its
            reason in .attrs["unreadable"], and a warning that counts them.

        Raises:
            ClipError: one file alone that cannot be read.
            SettingsError: nothing there, or a waveform of another shape or without a rate.
        """
        names, sounds, is_one = _sounds(audio, sample_rate)
        table, unreadable = self.answers(sounds)
        if is_one:
            if unreadable:
                raise unreadable[0]
            return dict(zip(self.labels, table[0].tolist(), strict=True))
        frame = _pandas().DataFrame(table, index=names, columns=list(self.labels)).rename_axis("clip")
        frame.attrs["unreadable"] = {str(names[i]): str(error) for i, error in unreadable.items()}
        _warn(unreadable, len(sounds))
        return frame

    def embed(
        self, audio: Place | np.ndarray | Sequence[Place | np.ndarray], sample_rate: int = 0, member: str = ""
    ) -> np.ndarray:
        """The vector in front of the class layer, which tells sounds apart that have no label (docs/python.md).

        Args:
            audio: as predict takes it.
            sample_rate: Hz, of waveforms.
            member: whose network; empty: the first, which is the best of its recipe.

        Returns:
            (features,) float32 for one file or waveform, (clips, features) for a folder or several; rows of files that
            cannot be read are NaN, with a warning.

        Raises:
            ClipError: one file alone that cannot be read.
            SettingsError: as predict's, or no such member.
        """
        if member and member not in self.members:
            raise SettingsError(f"no member {member}; known: {', '.join(self.members)}. Correct the name.")
        recipe, predictor = self._predictors[self.members.index(member) if member else 0]
        _, sounds, is_one = _sounds(audio, sample_rate)
        vectors: list[np.ndarray] = []
        there: list[int] = []
        unreadable: dict[int, ClipError] = {}
        for numbers in batches(sounds):
            readable, spectrograms, lost = self._spectrograms(recipe, [sounds[i] for i in numbers])
            unreadable |= {numbers[i]: error for i, error in lost.items()}
            if readable:
                there += [numbers[i] for i in readable]
                vectors.append(embed(predictor, spectrograms))
        if unreadable and not vectors:
            raise next(iter(unreadable.values()))
        found = np.concatenate(vectors)
        table = np.full((len(sounds), found.shape[1]), np.nan, np.float32)
        table[there] = found
        _warn(unreadable, len(sounds))
        return table[0] if is_one else table

    def answers(self, sounds: Sequence[Sound]) -> tuple[np.ndarray, dict[int, ClipError]]:
        """Probabilities of many sounds, (sounds, labels) float64, and those that cannot be read, whose rows are NaN."""
        table = np.full((len(sounds), len(self.labels)), np.nan)
        unreadable: dict[int, ClipError] = {}
        for numbers in batches(sounds):
            table[numbers], lost = self._answer([sounds[i] for i in numbers])
            unreadable |= {numbers[i]: error for i, error in lost.items()}
        return table, unreadable

    def _answer(self, sounds: Sequence[Sound]) -> tuple[np.ndarray, dict[int, ClipError]]:
        """The same for sounds that are in memory together."""
        heard: dict[str, Heard] = {}
        unreadable: dict[int, ClipError] = {}
        for recipe, _ in self._predictors:
            if recipe.digest() not in heard:
                there, spectrograms, lost = self._spectrograms(recipe, sounds)
                heard[recipe.digest()] = (there, spectrograms)
                unreadable |= lost
        table, left_out = self.blended(len(sounds), heard)
        for name, spoilt in left_out.items():
            warnings.warn(f"{name} is left out for {spoilt.sum():,} clips: its answer is not finite.", stacklevel=2)
        return table, unreadable

    def blended(self, n_sounds: int, heard: Mapping[str, Heard]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Probabilities of sounds whose spectrograms are there.

        Args:
            n_sounds: how many there are, those that could not be read among them.
            heard: what each front end made of them, by the recipe's digest.

        Returns:
            (sounds, labels) float64, NaN where nobody has an answer; and whose answers were left out because they are
            not finite, (sounds,) bool by name.
        """
        layers = np.zeros((len(self.members), n_sounds, len(self.labels)), np.float32)
        done = np.zeros(layers.shape[:2], bool)
        knows = np.zeros((len(self.members), len(self.labels)), bool)
        for name, numbers in self._folds.items():
            recipe = self._predictors[numbers[0]][0]
            there, spectrograms = heard[recipe.digest()]
            if not there:
                continue
            predictors, columns = [self._predictors[i][1] for i in numbers], self._maps[name]
            answers = answers_by(predictors, spectrograms, self._views or len(recipe.views))
            for place, number in enumerate(numbers):
                layers[number][np.ix_(there, columns.columns)] = answers[:, place, list(columns.classes)]
                knows[number, list(columns.columns)] = True
                done[number, there] = True
        table = np.full((n_sounds, len(self.labels)), np.nan)
        left_out = blend_columns(self._blend, layers, done, knows, table)
        return np.clip(table, 0.0, 1.0), left_out

    def vectors(self, heard: Mapping[str, Heard], member: str = "") -> np.ndarray:
        """Embeddings of sounds whose spectrograms are there: (sounds that could be read, features) float32.

        Args:
            heard: what each front end made of them, by the recipe's digest.
            member: whose network; empty: the first.
        """
        recipe, predictor = self._predictors[self.members.index(member) if member else 0]
        return embed(predictor, heard[recipe.digest()][1])

    def _spectrograms(
        self, recipe: Recipe, sounds: Sequence[Sound]
    ) -> tuple[list[int], list[np.ndarray], dict[int, ClipError]]:
        """Numbers of the sounds that can be read, their spectrograms, and the others with the reason."""
        waveforms = hear(sounds, settings_from(AudioSettings, recipe.audio, "[audio]"))
        unreadable = {i: found for i, found in enumerate(waveforms) if isinstance(found, ClipError)}
        readable = [(i, found) for i, found in enumerate(waveforms) if not isinstance(found, ClipError)]
        made = spectrograms_of(recipe, [waveform for _, waveform in readable], torch.device(self.device))
        return [i for i, _ in readable], made, unreadable


def load(weights: Place | None = None, device: str = "auto", members: Sequence[str] = (), views: int = 0) -> Tagger:
    """The members of a folder of weights, ready to answer.

    Args:
        weights: folder of submission.toml; None: those that come with Soundpost.
        device: "auto", "cpu", "cuda" or "cuda:1".
        members: names such as "compact/1"; empty: all.
        views: how many of each recipe's views, the cheapest first, which is quicker; 0: all, as the kernel.

    Raises:
        SettingsError: no submission there, or no such member.
        WeightsError: weights that are missing or altered.
        DeviceError: a device that does not work.
    """
    return Tagger(find_assets(Path(weights) if weights else default_root()), device, members, views)


def _sounds(
    audio: Place | np.ndarray | Sequence[Place | np.ndarray], sample_rate: int
) -> tuple[list[str | int], list[Sound], bool]:
    """Names, sounds, and whether one alone was meant."""
    if isinstance(audio, np.ndarray):
        return [0], [from_array(audio, sample_rate)], True
    if isinstance(audio, str | os.PathLike):
        recordings = find_audio_files([Path(audio)])
        return [r.name for r in recordings], [Sound(r.path) for r in recordings], not Path(audio).is_dir()
    names = [i if isinstance(one, np.ndarray) else os.fspath(one) for i, one in enumerate(audio)]
    sounds = [from_array(one, sample_rate) if isinstance(one, np.ndarray) else Sound(Path(one)) for one in audio]
    return names, sounds, False


def _pandas() -> Any:
    """The library of tables, which only several clips need.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        return import_module("pandas")
    except ImportError as error:
        raise SettingsError("a table of several clips needs pandas. Run pip install pandas.") from error


def _warn(unreadable: Mapping[int, ClipError], n_sounds: int) -> None:
    if unreadable:
        first = next(iter(unreadable.values()))
        text = f"{len(unreadable):,} of {n_sounds:,} clips cannot be read, their rows are NaN. The first: {first}"
        warnings.warn(text, stacklevel=3)
