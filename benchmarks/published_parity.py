"""Runs golden tests of tests/golden and prints the largest error that they saw: published_parity.py FILE NAMES"""

import sys

import numpy as np
import pytest
from measuring import ROOT

GOLDEN = ROOT / "tests" / "golden"


def main(file: str, names: str) -> int:
    """Exit status of the tests."""
    sys.path.insert(0, str(GOLDEN))
    import cases

    worst = [0.0]
    compare = cases.assert_close

    def recorded(expected: object, actual: object, atol: float, what: str) -> None:
        compare(expected, actual, atol, what)
        difference = np.asarray(expected, np.float64) - np.asarray(actual, np.float64)
        worst[0] = max(worst[0], float(np.abs(difference).max(initial=0.0)))

    cases.assert_close = recorded
    status = pytest.main([str(GOLDEN / file), "-q", "-k", names, "-p", "no:cacheprovider"])
    print(worst[0])
    return int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
