"""Runs golden tests of tests/golden and prints the largest error that they saw, and the largest share of a tolerance.

python benchmarks/published_parity.py FILE NAMES
"""

import sys

import numpy as np
import pytest
from measuring import ROOT

GOLDEN = ROOT / "tests" / "golden"


def main(file: str, names: str) -> int:
    """Exit status of the tests."""
    sys.path.insert(0, str(GOLDEN))
    import cases

    errors, shares = [0.0], [0.0]
    compare = cases.assert_close

    def recorded(expected: object, actual: object, atol: float, what: str) -> None:
        compare(expected, actual, atol, what)
        difference = np.asarray(expected, np.float64) - np.asarray(actual, np.float64)
        errors.append(float(np.abs(difference).max(initial=0.0)))
        shares.append(errors[-1] / atol)

    cases.assert_close = recorded
    status = pytest.main([str(GOLDEN / file), "-q", "-k", names, "-p", "no:cacheprovider"])
    print(max(errors), max(shares))
    return int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
