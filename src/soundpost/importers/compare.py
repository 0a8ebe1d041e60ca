"""The kit's waveforms, spectrograms and answers against a person's own: where do they part?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from soundpost.arguments import Parser
from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.recipes import Member, Recipe
from soundpost.ensemble.weights_folder import Assets, default_root, find_assets
from soundpost.errors import SettingsError
from soundpost.exit_status import STATUS_NOTHING, STATUS_OK, refusing
from soundpost.importers.reference import Reference, read_reference
from soundpost.inference.in_memory import answer, over_windows, spectrograms_of
from soundpost.inference.predictor import Predictor
from soundpost.registry import build, settings_from
from soundpost.views import VIEWS

SAME_SAMPLES = 1e-4  # largest share of full scale that another good resampler changes
SAME_BINS = 1e-2  # largest share of a spectrogram's range that another FFT in float32 changes
SAME_LOGITS = 1e-2  # largest share of the largest logit that may follow from both
SAME_PROBABILITIES = 2e-3


@dataclass(frozen=True)
class Stage:
    """How one step agrees."""

    name: str
    agrees: bool
    words: str


def compare(weights: Path, name: str, reference: Path, clips: Path | None, fold: str = "") -> int:
    """Print how each stage agrees, and at which one the kit and the person's own program part.

    Args:
        weights: folder of submission.toml.
        name: what the recipe is called.
        reference: .npz or .csv of the person's own, see soundpost.importers.reference.
        clips: the folder of the files that it names.
        fold: whose answers they are; "" is the mean over all folds.

    Returns:
        STATUS_OK where everything agrees, else STATUS_NOTHING.

    Raises:
        SettingsError: no such recipe, fold, clip, or a file that cannot be used.
        ClipError: a clip that cannot be read.
    """
    assets = find_assets(weights)
    recipe = next((recipe for recipe in assets.submission.recipes if recipe.name == name), None)
    if recipe is None:
        known = ", ".join(recipe.name for recipe in assets.submission.recipes)
        raise SettingsError(f"--recipe {name} is not in {weights}; known: {known}. Correct it.")
    if clips is None:
        raise SettingsError(f"--reference {reference} without --clips. Name the folder of the clips that it speaks of.")
    told = stages(assets, recipe, read_reference(reference, recipe.labels), clips, fold)
    for stage in told:
        print(f"{stage.name:<12} {'agrees' if stage.agrees else 'PARTS':<6}  {stage.words}")
    first = next((stage.name for stage in told if not stage.agrees), None)
    if first is None:
        print(f"{name} answers as {reference} does")
        return STATUS_OK
    print(f"they part at the {first}: {ADVICE[first]}")
    if len(told) == 1 and first in ("logits", "probabilities"):
        print("to see whether it begins earlier, save waveform:NAME and spectrogram:NAME, as docs/your_model.md shows")
    return STATUS_NOTHING


ADVICE = {
    "waveform": "look at sample_rate, trimming and length_rule in [audio], at the scale and the channels of yours",
    "spectrogram": "look at [front_end] and its defaults (docs/settings.md): pad_mode, top_db, fmin, mel scale, power",
    "logits": "look at [[views]], at what is done to a spectrogram before the network, and at the fold",
    "probabilities": "look at activation and [[views]], at what is done to a spectrogram before the network, the fold",
}


def stages(assets: Assets, recipe: Recipe, reference: Reference, clips: Path, fold: str) -> list[Stage]:
    """Every stage that the reference tells of, in the order in which a clip passes them."""
    absent = [clip for clip in reference.clips if not (clips / clip).is_file()]
    if absent:
        raise SettingsError(f"--clips {clips}: no file {absent[0]} ({len(absent)} not there). Correct folder or names.")
    audio: AudioSettings = settings_from(AudioSettings, recipe.audio, f"{recipe.name} [audio]")
    waveforms = {clip: decode(clips / clip, audio).waveform for clip in reference.clips}
    made = spectrograms_of(recipe, list(waveforms.values()), torch.device("cpu"))
    spectrograms = dict(zip(waveforms, made, strict=True))
    told = []
    if reference.waveforms:
        told.append(_arrays("waveform", waveforms, reference.waveforms, SAME_SAMPLES, is_relative=False))
    if reference.spectrograms:
        told.append(_arrays("spectrogram", spectrograms, reference.spectrograms, SAME_BINS, is_relative=True))
    if reference.answers is not None:
        told.append(_answers(assets, recipe, reference, made, fold))
    return told


def _arrays(name: str, ours: Any, theirs: Any, bound: float, is_relative: bool) -> Stage:
    """The worst clip of one stage."""
    worst, words = -1.0, ""
    for clip, their in theirs.items():
        our = ours[clip]
        if our.shape != their.shape:
            return Stage(name, False, f"{clip}: ours is {our.shape}, yours {their.shape}")
        if not np.isfinite(their).all():
            return Stage(name, False, f"{clip}: yours holds {(~np.isfinite(their)).sum():,} values that are not finite")
        apart = np.abs(our.astype(np.float64) - their)
        spread = max(float(np.ptp(their)), 1e-12) if is_relative else 1.0
        largest = float(apart.max(initial=0.0))
        if largest / spread > worst:
            worst = largest / spread
            place = np.unravel_index(int(apart.argmax()), apart.shape)
            words = f"largest difference {largest:.3g} at {tuple(map(int, place))} of {clip}{_pattern(our, their)}"
    return Stage(name, worst <= bound, f"{words}; {len(theirs)} clips, {bound:g} is taken for the same")


def _pattern(our: np.ndarray, their: np.ndarray) -> str:
    """What kind of a difference it is, where it is a simple one."""
    difference = their.astype(np.float64) - our
    if np.ptp(difference) < 1e-2 * max(abs(float(difference.mean())), 1e-12):
        return f", yours is ours {difference.mean():+.4g} everywhere"
    energy = float((our.astype(np.float64) ** 2).sum())
    factor = float((their.astype(np.float64) * our).sum()) / energy if energy else 0.0
    if factor and np.abs(their - factor * our).max() < 1e-3 * np.abs(their).max():
        return f", yours is ours times {factor:.4g} everywhere" if abs(factor - 1) > 1e-3 else ""
    inside = np.abs(difference[..., 4:-4])
    if difference.ndim == 3 and inside.size and inside.max() < 0.01 * np.abs(difference).max():
        return ", only in the first and last frames, where padding counts"
    return ""


def _answers(assets: Assets, recipe: Recipe, reference: Reference, made: Sequence[np.ndarray], fold: str) -> Stage:
    chosen = [member for member in recipe.members if fold in ("", member.fold)]
    if not chosen:
        known = ", ".join(member.fold for member in recipe.members)
        raise SettingsError(f"--fold {fold} is not in {recipe.name}; known: {known}. Correct it.")
    if reference.are_logits and len(chosen) > 1:
        raise SettingsError(
            f"the reference holds logits and {recipe.name} has {len(chosen)} folds. Say with --fold whose they are."
        )
    if reference.are_logits:
        ours = _logits(recipe, chosen[0], assets, made)
    else:
        count = len(recipe.views)
        ours = np.mean([answer(recipe, member, assets.arrays(member), made, count) for member in chosen], axis=0)
    assert reference.answers is not None
    apart = np.abs(ours - reference.answers)
    clip, label = np.unravel_index(int(apart.argmax()), apart.shape)
    name, bound = "probabilities", SAME_PROBABILITIES
    if reference.are_logits:
        name, bound = "logits", SAME_LOGITS * max(1.0, float(np.abs(ours).max()))
    other = int((ours.argmax(1) != reference.answers.argmax(1)).sum())
    words = (
        f"largest difference {apart.max():.3g} at {recipe.labels[label]} of {reference.clips[clip]} (ours "
        f"{ours[clip, label]:.4g}, yours {reference.answers[clip, label]:.4g}); another first label for {other} of "
        f"{len(ours)} clips; {bound:.2g} is taken for the same"
    )
    return Stage(name, bool(apart.max() <= bound), words)


def _logits(recipe: Recipe, member: Member, assets: Assets, made: Sequence[np.ndarray]) -> np.ndarray:
    """Logits (clips, classes), averaged over windows and views, whatever the recipe averages.

    Raises:
        SettingsError: the recipe's network gives probabilities.
    """
    if recipe.activation == "none":
        raise SettingsError(f"{recipe.name} gives probabilities and the reference holds logits. Save probabilities.")
    predictor = Predictor(replace(recipe, average="logit"), member, assets.arrays(member), "cpu", "")
    views = [build(VIEWS, view.name, view.settings, "view") for view in recipe.views]
    answers: np.ndarray = np.mean([over_windows(predictor, made, view, len(recipe.labels)) for view in views], axis=0)
    return answers


@refusing
def main(arguments: Sequence[str]) -> int:
    """Compare one recipe with answers of one's own; 0 where they agree, 3 where they part."""
    parser = Parser(prog="soundpost import compare", description=__doc__)
    parser.add_argument("--recipe", required=True, help="its name in weights/")
    parser.add_argument("--reference", type=Path, required=True, help="your own answers: .npz or .csv")
    parser.add_argument("--clips", type=Path, required=True, help="folder of the clips that they belong to")
    parser.add_argument("--fold", default="", help="whose answers they are (the mean over all folds)")
    parser.add_argument("--weights", type=Path, default=default_root(), help="folder of submission.toml (weights)")
    given = parser.parse_args(arguments)
    return compare(given.weights, given.recipe, given.reference, given.clips, given.fold)
