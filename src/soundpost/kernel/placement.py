"""Which members travel inside the kernel and which as a dataset beside it, by size. Never bundled."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundpost.ensemble.recipes import Member, Recipe
from soundpost.ensemble.weights_folder import Assets
from soundpost.errors import BundleError

LEAST_BITS = 4.5  # for each weight; with fewer the answers change more than a dataset costs effort
TEXT_PER_BYTE = 1.26  # base85 and its line ends
OVERHEAD_BYTES = 40_000  # loader, index of the source, recipes and hashes as text, and what a notebook's escapes add


@dataclass(frozen=True)
class Apart:
    """A member that travels as a file of a dataset, flat and uncompressed."""

    member: Member
    source: Path  # its safetensors file

    @property
    def file(self) -> str:
        """Its name in the dataset."""
        return f"{self.member.recipe}-{self.member.fold}{self.source.suffix}"

    @property
    def n_bytes(self) -> int:
        """The size of the file."""
        return self.source.stat().st_size


def travel_apart(
    assets: Assets, recipes: Sequence[Recipe], asked: Sequence[str] | None, room_bytes: int
) -> tuple[Apart, ...]:
    """Members for which the kernel has no room, in order.

    Args:
        assets: where the members lie.
        recipes: second levels, which are small, come in first; then each recipe's members, best first.
        asked: names of members that shall travel apart whatever their size; None: by size.
        room_bytes: how much text there may be for weights.

    Raises:
        BundleError: a name that is not there.
    """
    members = [member for recipe in recipes for member in recipe.members]
    known = [member.name for member in members]
    if absent := [name for name in asked or () if name not in known]:
        raise BundleError(f"no members {', '.join(absent)}; known: {', '.join(known)}. Correct --apart.")
    if asked is not None:
        return tuple(Apart(member, assets.path(member)) for member in members if member.name in asked)
    apart = []
    for member in members:
        values = sum(array.size for array in assets.arrays(member).values())
        needed = values * LEAST_BITS / 8 * TEXT_PER_BYTE
        if needed <= room_bytes:
            room_bytes -= int(needed)
        else:
            apart.append(Apart(member, assets.path(member)))
    return tuple(apart)
