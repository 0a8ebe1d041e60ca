"""Members that know different labels, blended: in each column by those that know it."""

import numpy as np

from soundpost.ensemble.blend import Blend


def blend_columns(
    blend: Blend, probabilities: np.ndarray, done: np.ndarray, knows: np.ndarray, result: np.ndarray
) -> None:
    """Put answers where somebody has one; everything else in result stays as it is.

    Args:
        blend: the rule for these members.
        probabilities: (members, clips, columns) in [0, 1]; what is not done or not known may hold anything.
        done: (members, clips) bool.
        knows: (members, columns) bool.
        result: (clips, columns), changed in place.
    """
    for pattern in np.unique(knows, axis=1).T:
        if not pattern.any():
            continue
        columns = (knows == pattern[:, None]).all(axis=0)
        there = done & pattern[:, None]
        blended = blend(probabilities, there)
        rows = there.any(axis=0)
        result[np.ix_(rows, columns)] = blended[np.ix_(rows, columns)]
