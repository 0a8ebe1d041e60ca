"""soundpost.load(...).predict(...): trained weights asked from Python, without a contest around them.

The answers are those of kernel.py in float32: the same members, views and blend, in memory, on one device or several.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from soundpost.audio.sound import Sound, batches, from_array
from soundpost.contest.audio_files import find_audio_files
from soundpost.ensemble.column_blend import blend_columns
from soundpost.ensemble.columns import map_all
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.ensemble.weights_folder import Assets, default_root, find_assets
from soundpost.errors import ClipError, SettingsError
from soundpost.inference.devices import choose_devices
from soundpost.inference.embedding import embed
from soundpost.inference.in_memory import answers_by, heard_by
from soundpost.inference.predictor import Predictor
from soundpost.inference.spread import Lane, spread
from soundpost.inference.stacking import ready_blend

if TYPE_CHECKING:
    import pandas as pd

Place = str | os.PathLike[str]
Answered = tuple[np.ndarray, dict[int, ClipError], dict[str, np.ndarray]]  # rows, unreadable sounds, left out answers
Heard = tuple[Sequence[int], Sequence[np.ndarray]]  # which of several sounds could be read, and their spectrograms


class Tagger:
    """Trained members that answer files, arrays and folders. Made by load().

    Args:
        assets: submission, recipes and weights.
        devices: which of them answer, each with networks of its own; batches are spread over them.
        members: names such as "compact/1"; empty: all.
        views: how many of each recipe's views, the cheapest first; 0: all.

    Raises:
        SettingsError: a member that is not there.
        WeightsError: weights that are missing or altered.
        DeviceError: a device that does not work.
    """

    def __init__(self, assets: Assets, devices: Sequence[str], members: Sequence[str], views: int) -> None:
        recipes = assets.submission.recipes
        everyone = [(recipe, member) for recipe in recipes for member in recipe.members]
        known = [member.name for _, member in everyone]
        if unknown := sorted(set(members) - set(known)):
            raise SettingsError(f"no members {', '.join(unknown)}; known: {', '.join(known)}. Correct the names.")
        chosen = [(r, m) for r, m in everyone if not members or m.name in members]
        self.devices: tuple[str, ...] = tuple(dict.fromkeys(devices))
        self.device = self.devices[0]
        self.labels: tuple[str, ...] = tuple(dict.fromkeys(label for r, _ in chosen for label in r.labels))
        self.members: tuple[str, ...] = tuple(member.name for _, member in chosen)
        self._views = views
        self._folds: dict[str, list[int]] = {}  # recipe -> numbers of its members
        for number, (recipe, _) in enumerate(chosen):
            self._folds.setdefault(recipe.name, []).append(number)
        self._lanes: list[Lane] = [Lane(device, []) for device in self.devices]
        for recipe, member in chosen:
            own = assets.arrays(member)
            for lane in self._lanes:
                lane.predictors.append((recipe, Predictor(recipe, member, own, lane.device, "")))
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
        which = self.members.index(member) if member else 0
        _, sounds, is_one = _sounds(audio, sample_rate)

        def vectors_of(lane: Lane, numbers: list[int]) -> tuple[list[int], np.ndarray | None, dict[int, ClipError]]:
            recipe, predictor = lane.predictors[which]
            readable, spectrograms, lost = heard_by(recipe, [sounds[i] for i in numbers], lane.device)
            return readable, embed(predictor, spectrograms) if readable else None, lost

        vectors: list[np.ndarray] = []
        there, unreadable = list[int](), dict[int, ClipError]()
        for numbers, (readable, own, lost) in spread(
            self._lanes, batches(sounds, -(-len(sounds) // len(self._lanes))), vectors_of
        ):
            unreadable |= {numbers[i]: error for i, error in lost.items()}
            if own is not None:
                there += [numbers[i] for i in readable]
                vectors.append(own)
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
        for numbers, (rows, lost, left_out) in spread(
            self._lanes, batches(sounds, -(-len(sounds) // len(self._lanes))), partial(self._answer, sounds)
        ):
            table[numbers] = rows
            unreadable |= {numbers[i]: error for i, error in lost.items()}
            for name, spoilt in left_out.items():
                warnings.warn(f"{name} is left out for {spoilt.sum():,} clips: its answer is not finite.", stacklevel=2)
        return table, unreadable

    def _answer(self, everything: Sequence[Sound], lane: Lane, numbers: Sequence[int]) -> Answered:
        """The same for sounds that are in memory together, and whose answers are left out."""
        sounds = [everything[i] for i in numbers]
        heard: dict[str, Heard] = {}
        unreadable: dict[int, ClipError] = {}
        for recipe, _ in lane.predictors:
            if recipe.digest() not in heard:
                there, spectrograms, lost = heard_by(recipe, sounds, lane.device)
                heard[recipe.digest()] = (there, spectrograms)
                unreadable |= lost
        table, left_out = self.blended(len(sounds), heard, lane)
        return table, unreadable, left_out

    def blended(
        self, n_sounds: int, heard: Mapping[str, Heard], lane: Lane | None = None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Probabilities of sounds whose spectrograms are there.

        Args:
            n_sounds: how many there are, those that could not be read among them.
            heard: what each front end made of them, by the recipe's digest.
            lane: whose networks are asked; None: those of the first device.

        Returns:
            (sounds, labels) float64, NaN where nobody has an answer; and whose answers were left out because they are
            not finite, (sounds,) bool by name.
        """
        layers = np.zeros((len(self.members), n_sounds, len(self.labels)), np.float32)
        done = np.zeros(layers.shape[:2], bool)
        knows = np.zeros((len(self.members), len(self.labels)), bool)
        asked = (lane or self._lanes[0]).predictors
        for name, numbers in self._folds.items():
            recipe = asked[numbers[0]][0]
            there, spectrograms = heard[recipe.digest()]
            if not there:
                continue
            predictors, columns = [asked[i][1] for i in numbers], self._maps[name]
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
        recipe, predictor = self._lanes[0].predictors[self.members.index(member) if member else 0]
        return embed(predictor, heard[recipe.digest()][1])


def load(
    weights: Place | None = None,
    device: str = "auto",
    members: Sequence[str] = (),
    views: int = 0,
    devices: Sequence[str] = (),
) -> Tagger:
    """The members of a folder of weights, ready to answer.

    Args:
        weights: folder of submission.toml; None: those that come with Soundpost.
        device: "auto" (all GPUs that work, else the processor), "cpu", "cuda" (all GPUs), or a name, "cuda:1".
        members: names such as "compact/1"; empty: all.
        views: how many of each recipe's views, the cheapest first, which is quicker; 0: all, as the kernel.
        devices: names of several in place of device, ["cuda:0", "cuda:1"]; all answer, batches are spread over them.

    Raises:
        SettingsError: no submission there, or no such member.
        WeightsError: weights that are missing or altered.
        DeviceError: a device that does not work.
    """
    chosen = choose_devices(",".join(devices) or device)
    return Tagger(find_assets(Path(weights) if weights else default_root()), chosen, members, views)


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
