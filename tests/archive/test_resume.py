"""A run that is killed at any moment and goes on ends as one that was left alone."""

import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet
import pytest
from archive_runs import parts_of, read, tagging
from conftest import ClipMaker, RecipeMaker

from soundpost.archive.command import main
from soundpost.archive.part_places import LOCK
from soundpost.errors import SettingsError

KILLS = 10
WHOLE_PARTS = 40  # two clips each, so that ten kills seldom reach the end
PATIENCE_SECONDS = 120.0  # what a slow machine is given until a run has ended


def begin(arguments: list[str]) -> None:
    """A run in a process of its own, as a shell would start it."""
    os._exit(main(arguments))


@pytest.fixture
def context() -> multiprocessing.context.ForkServerContext:
    """Starts processes from one that has imported everything and has no threads."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["soundpost.archive.command", "soundpost.engine.run"])
    return found


def test_ten_kills_at_random_moments_cost_no_row_and_make_none_twice(
    make_clips: ClipMaker, make_assets: RecipeMaker, tmp_path: Path, context: multiprocessing.context.ForkServerContext
) -> None:
    """SIGKILL before, between and within parts: at every moment only whole parts lie there, and the end is the same."""
    clips, weights = (
        make_clips([0.3 + 0.1 * (i % 7) for i in range(2 * WHOLE_PARTS)]) / "test",
        make_assets({"folds": 1}),
    )
    options = ["--part", "2", "--embeddings"]
    whole = tagging(weights, tmp_path)(clips, *options, out="whole.parquet")
    out = tmp_path / "TAGS.parquet"
    given = [str(clips), "--out", str(out), "--weights", str(weights), "--device", "cpu", "--quiet", *options]
    draw = random.Random(19)
    counts: list[int] = []
    kills, killed_with_parts = 0, False

    while kills < KILLS:
        before = len(parts_of(out))
        process = context.Process(target=begin, args=([*given, "--resume"],))
        process.start()
        assert process.pid is not None
        # The first thing it writes is the lock; parts follow after a second or so.
        until = time.monotonic() + PATIENCE_SECONDS
        while process.is_alive() and not (out / LOCK).exists() and time.monotonic() < until:
            time.sleep(0.01)
        goal = before + draw.randrange(3)  # then some parts more, and a random moment within the next one
        while process.is_alive() and len(parts_of(out)) < goal and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(draw.uniform(0.0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.join(PATIENCE_SECONDS)
        if process.exitcode == 0:  # it was done before the kill came: a new run, to be killed in its turn
            assert len(parts_of(out)) == WHOLE_PARTS
            shutil.rmtree(out)
            counts.clear()
            continue
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        parts = parts_of(out)
        assert [pyarrow.parquet.read_metadata(part).num_rows for part in parts] == [2] * len(parts)
        counts.append(len(parts))

        assert counts == sorted(counts)  # no part that was there is lost
        killed_with_parts = killed_with_parts or 0 < len(parts) < WHOLE_PARTS

    assert killed_with_parts  # else nothing was ever left to resume
    assert main([*given, "--resume"]) == 0
    resumed = read(out)
    assert resumed.index.is_unique
    pd.testing.assert_frame_equal(
        whole.drop(columns="embedding"), resumed.drop(columns="embedding"), check_exact=False, rtol=0, atol=1e-6
    )
    for one, other in zip(whole["embedding"], resumed["embedding"], strict=True):
        assert abs(one - other).max() < 1e-4


def test_second_process_is_refused_while_the_first_writes(
    make_clips: ClipMaker, make_assets: RecipeMaker, tmp_path: Path, context: multiprocessing.context.ForkServerContext
) -> None:
    """Two writers would take turns at one folder."""
    clips, weights = make_clips([0.3] * 100) / "test", make_assets({"folds": 1})
    given = [str(clips), "--out", str(tmp_path / "TAGS.parquet"), "--weights", str(weights), "--device", "cpu"]
    process = context.Process(target=begin, args=([*given, "--quiet", "--part", "1"],))
    process.start()
    until = time.monotonic() + PATIENCE_SECONDS
    while not parts_of(tmp_path / "TAGS.parquet") and time.monotonic() < until:
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)  # so that it is still there

    with pytest.raises(SettingsError, match="is being written by another process"):
        main([*given, "--quiet", "--part", "1", "--resume"])

    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE_SECONDS)
