"""Published plans, made small, are killed again and again and end with the bytes of a training left alone.

Four of them, each with something that the others have not; killed_runs.py takes all of them, which is minutes of work.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


PLANS = (
    "argus/auxiliary_016",  # losses of sets, plateau, best epoch, stop, half precision
    "ex4sperans/1d_noisy",  # rounds of selection, each of them a stage, waveforms
    "hires_spectrogram/resnext50",  # groups of parameters, a frozen body
    "simongrest/six_folds",  # selection, sampling by weights, slow starts
)


@pytest.mark.slow
@pytest.mark.parametrize("plan", PLANS)
def test_plan_killed_anywhere_equals_a_training_left_alone(plan: str, tmp_path: Path) -> None:
    """SIGKILL at drawn moments and round the end of every stage: the member and its history are the same bytes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "killed_runs.py"), str(tmp_path), "0", plan]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["equal"]
    # Three at each stage, its beginning and both sides of its end, and one before the finished member is called so.
    assert found["borders"] == 3 * found["stages"] + 1
    assert found["kills"] > found["borders"]
