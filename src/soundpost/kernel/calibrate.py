"""Bit widths of a recipe's packs by what they do to its answers: python -m soundpost.kernel.calibrate WEIGHTS ...

Measures each tensor's effect on some clips, writes packing.toml beside recipe.toml, and prints the out-of-fold scores
of the packed members beside those of the full ones. Done once for new weights: a build of kernel.py only follows
packing.toml, needs no recordings and gives the same bytes everywhere. Never bundled.
"""

import argparse
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from soundpost.arguments import Parser
from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.pack_format import unpack
from soundpost.ensemble.recipes import Member, Recipe, parse_recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.ensemble.weights_folder import RECIPE
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import Table, read_table
from soundpost.evaluation.metrics import accuracy, lwlrap
from soundpost.exit_status import refusing
from soundpost.inference.in_memory import answer, spectrograms_of
from soundpost.kernel.bit_allocation import pack_members
from soundpost.kernel.build import PACKING, PACKS_BYTES
from soundpost.kernel.pack import Arrays, pack
from soundpost.registry import settings_from
from soundpost.settings import parse_bytes


class Clips:
    """Labelled clips as spectrograms of one recipe, and its members' answers to them."""

    def __init__(self, recipe: Recipe, table: Table, folder: Path) -> None:
        audio = settings_from(AudioSettings, recipe.audio, "[audio]")
        waveforms = [decode(folder / file, audio).waveform for file in tqdm(table.files, desc="decoding", unit="clip")]
        self.recipe, self.table = recipe, table
        self.spectrograms = spectrograms_of(recipe, waveforms, torch.device("cpu"))

    def answers(self, member: Member, arrays: Arrays, rows: Sequence[int]) -> np.ndarray:
        """Probabilities of one member with these weights, by the cheapest view, (rows, classes) float64."""
        return answer(self.recipe, member, arrays, [self.spectrograms[row] for row in rows], n_views=1)

    def out_of_fold(self, arrays: Mapping[str, Arrays]) -> np.ndarray:
        """Probabilities of each clip by the member that never saw it, (clips, classes).

        Raises:
            SettingsError: a fold of the csv has no member.
        """
        answers = np.zeros(self.table.truth.shape)
        for fold in self.table.fold_names:
            rows = [row for row, other in enumerate(self.table.folds) if other == fold]
            member = next((m for m in self.recipe.members if m.fold == fold), None)
            if member is None:
                known = ", ".join(m.fold for m in self.recipe.members)
                raise SettingsError(
                    f"fold {fold} has no member; members: {known}. Give the csv the recipe was made of."
                )
            answers[rows] = self.answers(member, arrays[member.name], rows)
        return answers


def effect_on(clips: Clips, arrays: Mapping[str, Arrays], rows: Sequence[int]) -> Callable[[str, Arrays], float]:
    """Mean squared change of a member's probabilities on these clips, as pack_members asks for it."""
    members = {member.name: member for member in clips.recipe.members}
    exact = {name: clips.answers(member, arrays[name], rows) for name, member in members.items()}

    def effect(name: str, changed: Arrays) -> float:
        return float(np.square(clips.answers(members[name], changed, rows) - exact[name]).mean())

    return effect


@refusing
def main(argv: Sequence[str] | None = None) -> int:
    """Choose widths, or with --compare take those that are there, and print what they cost; exit status 0, or 2."""
    parser = Parser(prog="soundpost calibrate", description=__doc__)
    parser.add_argument("recipe", type=Path, help="folder of recipe.toml and its members")
    parser.add_argument("--clips", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--csv", type=Path, required=True, help="fname,labels,fold as for training")
    parser.add_argument("--budget", metavar="SIZE", default=f"{PACKS_BYTES:,}", help="bytes of all packs (%(default)s)")
    parser.add_argument("--count", type=int, default=48, help="clips on which effects are measured (48)")
    parser.add_argument("--compare", action="store_true", help="keep packing.toml and print the scores")
    options = parser.parse_args(argv)
    _calibrate(options)
    return 0


def _calibrate(options: argparse.Namespace) -> None:
    path = options.recipe / RECIPE
    recipe = parse_recipe(path.read_text("utf-8"), str(path))
    arrays = {m.name: load_arrays(options.recipe / m.file, m.sha256, m.name) for m in recipe.members}
    clips = Clips(recipe, read_table(options.csv, None, 0), options.clips)
    packs: Mapping[str, bytes]
    if options.compare:
        bits = tomllib.loads((options.recipe / PACKING).read_text("utf-8"))["bits"]
        packs = {name: pack(member, bits) for name, member in arrays.items()}
    else:
        rows = range(0, len(clips.spectrograms), max(1, len(clips.spectrograms) // options.count))
        packed = pack_members(arrays, effect_on(clips, arrays, rows), parse_bytes(options.budget, "budget"))
        packs = packed.packs
        lines = [f'"{tensor}" = {bits:g}' for tensor, bits in packed.bits.items()]
        text = "# Bits of each tensor in a pack, by its measured effect; written by soundpost.kernel.calibrate.\n"
        (options.recipe / PACKING).write_text(text + "\n".join(["[bits]", *lines, ""]), "utf-8", newline="\n")
    restored = {name: unpack(data, name) for name, data in packs.items()}
    values = sum(array.size for member in arrays.values() for array in member.values())
    size = sum(map(len, packs.values()))
    print(f"{len(packs)} members, {values:,} values, {size:,} bytes, {8 * size / values:.2f} bits for each value")
    full, quantised = clips.out_of_fold(arrays), clips.out_of_fold(restored)
    for title, given in (("full precision", full), ("packed", quantised)):
        scores = lwlrap(clips.table.truth, given), accuracy(clips.table.truth, given)
        print(f"{title:<15} lwlrap {scores[0]:.4f}  accuracy {scores[1]:.4f}  out of fold")
    change = np.abs(quantised - full)
    mean_square = np.square(change).mean()
    print(f"probabilities change by {mean_square**0.5:.4f} (root mean square), {change.max():.4f} at most")


if __name__ == "__main__":
    sys.exit(main())
