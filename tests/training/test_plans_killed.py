"""Every published plan, made small, is killed again and again and ends with the bytes of a training left alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from reduced_plans import systems

from soundpost.training.plan import plan_names

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.mark.slow
@pytest.mark.parametrize("system", systems())
def test_every_plan_killed_anywhere_equals_a_training_left_alone(system: str, tmp_path: Path) -> None:
    """SIGKILL at drawn moments and round the end of every stage: the member and its history are the same bytes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "killed_runs.py"), str(tmp_path), system, "0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)

    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["plan"] for row in found] == [name for name in plan_names() if name.split("/")[0] == system]
    assert [row["plan"] for row in found if not row["equal"]] == []
    # Three at each stage, its beginning and both sides of its end, and one before the finished member is called so.
    assert all(row["borders"] == 3 * row["stages"] + 1 for row in found)
    assert all(row["kills"] > row["borders"] for row in found)
