"""Members that know different labels, blended: in each column by those that know it."""

import numpy as np

from soundpost.ensemble.blend import Blend


def blend_columns(
    blend: Blend, probabilities: np.ndarray, done: np.ndarray, knows: np.ndarray, result: np.ndarray
) -> dict[str, np.ndarray]:
    """Put answers where somebody has one; everything else in result stays as it is.

    Args:
        blend: the rule for these members.
        probabilities: (members, clips, columns) in [0, 1]; what is not done or not known may hold anything.
        done: (members, clips) bool.
        knows: (members, columns) bool.
        result: (clips, columns), changed in place.

    Returns:
        Whose rows were left out because they are not finite: (clips,) bool by name, as Blend.blended has it.
    """
    left_out: dict[str, np.ndarray] = {}
    for pattern in np.unique(knows, axis=1).T:
        if not pattern.any():
            continue
        columns = (knows == pattern[:, None]).all(axis=0)
        there = done & pattern[:, None]
        blended = blend.blended(probabilities, there)
        rows = blended.there
        result[np.ix_(rows, columns)] = blended.probabilities[np.ix_(rows, columns)]
        for name, spoilt in blended.not_finite.items():
            left_out[name] = left_out.get(name, False) | spoilt
    return left_out
