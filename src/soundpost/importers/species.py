"""From the classes of a network that knows far more species to a contest's columns, by scientific names.

A column whose species the network knows takes its logit. One of a group that is known by its genus takes the largest
logit of that genus; any other has a logit of 0, not of minus infinity: nobody knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

GROUPS_BY_GENUS = ("Amphibia", "Aves", "Insecta")
TEMPERATURES = {"Amphibia": 0.95, "Insecta": 0.95}  # what logits are divided by, for each group
OTHER_TEMPERATURE = 1.10


@dataclass(frozen=True)
class Species:
    """One column of a contest, as its taxonomy describes it."""

    column: str
    scientific_name: str
    group: str  # class_name: Aves, Insecta, ...

    @property
    def temperature(self) -> float:
        """What its logits are divided by before the sigmoid (2026)."""
        return TEMPERATURES.get(self.group, OTHER_TEMPERATURE)


@dataclass(frozen=True)
class SpeciesMap:
    """Which of the network's classes stand for which columns."""

    columns: tuple[str, ...]
    mapped: Mapping[str, int]  # column -> class of its own name
    proxies: Mapping[str, tuple[int, ...]]  # column -> classes of its genus

    def logits(self, logits: np.ndarray) -> np.ndarray:
        """(rows, classes of the network) -> (rows, columns) float32."""
        result = np.zeros((len(logits), len(self.columns)), np.float32)
        for number, column in enumerate(self.columns):
            if column in self.mapped:
                result[:, number] = logits[:, self.mapped[column]]
            elif column in self.proxies:
                result[:, number] = logits[:, list(self.proxies[column])].max(axis=1)
        return result


def map_species(names: Sequence[str], taxonomy: Sequence[Species]) -> SpeciesMap:
    """Columns found by their exact name, or by the names that begin with their genus and a space.

    Args:
        names: scientific names of the network's classes, in their order; some may be plain words.
        taxonomy: the contest's columns, in their order.

    Source: BirdCLEF 2026, second place.
    """
    place = {name: number for number, name in enumerate(names)}
    mapped = {s.column: place[s.scientific_name] for s in taxonomy if s.scientific_name in place}
    proxies = {}
    for species in taxonomy:
        genus = species.scientific_name.split(" ")[0]
        found = tuple(number for number, name in enumerate(names) if name.startswith(f"{genus} "))
        if species.column not in mapped and species.group in GROUPS_BY_GENUS and found:
            proxies[species.column] = found
    return SpeciesMap(tuple(s.column for s in taxonomy), mapped, proxies)
