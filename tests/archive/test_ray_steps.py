"""Lengths and room in the steps of Ray: groups without padding across blocks, and a store that never fills."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray_runs
import soundfile
from archive_runs import tagging
from conftest import RATE, RecipeMaker, waveform

from soundpost.archive import on_ray, ray_steps
from soundpost.archive.clip_list import list_clips
from soundpost.archive.plan import Plan
from soundpost.inference import in_memory
from soundpost.views.batch import stack
from soundpost.views.view import Window

MIB = 2**20


def plan_of(folder: Path, lengths: Sequence[float], weights: Path) -> Plan:
    """A plan over clips of these lengths in seconds, in this order."""
    folder.mkdir()
    for number, seconds in enumerate(lengths):
        soundfile.write(folder / f"{number}.wav", waveform(seconds, number), RATE)
    return Plan(list_clips([str(folder)]), weights, device="cpu")


def answered(plan: Plan, tables: Sequence[pa.Table], steps: ray_steps.Steps) -> list[dict[str, Any]]:
    """Rows as one actor gives them, of whatever Ray put together."""
    ensemble = ray_steps.Ensemble(steps, lambda: ray_steps.packed(plan.weights))
    rows = ensemble(pa.concat_tables(tables)).to_pylist()
    return sorted(rows, key=lambda row: row["clip"])


def test_windows_of_equal_length_are_shown_together_whichever_block_they_came_in(
    make_assets: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips of two blocks in one batch, every window as long as its clip, so that nothing is padded; answers alike."""
    lengths = (0.3, 0.5, 0.9, 0.3, 0.5, 0.7)
    plan = plan_of(tmp_path / "clips", lengths, make_assets({"folds": 2}))
    steps = ray_steps.Steps.of(plan, "cpu")
    numbered = plan.clips.append_column("clip", pa.array(range(6), pa.int64()))
    heard = [list(ray_steps.hear(block, steps)) for block in (numbered.slice(0, 3), numbered.slice(3, 3))]
    rows = [table.slice(i, 1) for block in heard for table in block for i in range(len(table))]
    alone = [answered(plan, [row], steps)[0]["probabilities"] for row in rows]
    shown: list[list[tuple[int, int]]] = []

    def noting(spectrograms: Sequence[np.ndarray], windows: Sequence[Window], *others: Any) -> Any:
        batch = stack(spectrograms, windows, *others)
        assert batch.shape[-1] == windows[0].frames
        shown.append([(one.shape[-1], window.frames) for one, window in zip(spectrograms, windows, strict=True)])
        return batch

    monkeypatch.setattr(in_memory, "stack", noting)
    together = answered(plan, [table for block in heard for table in block], steps)

    assert sorted(map(len, shown)) == [1, 1, 2, 2]  # 0.7 and 0.9 s alone, those of 0.3 and of 0.5 s by two
    assert all(own == frames for batch in shown for own, frames in batch)
    np.testing.assert_allclose([row["probabilities"] for row in together], alone, rtol=0, atol=1e-6)


def test_rows_of_a_task_leave_it_in_one_table_up_to_so_many_bytes(
    make_assets: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones together and in one piece, larger ones by themselves; the rows are the same."""
    plan = plan_of(tmp_path / "clips", (0.3, 0.5, 0.9), make_assets({"folds": 1}))
    steps = ray_steps.Steps.of(plan, "cpu")
    numbered = plan.clips.append_column("clip", pa.array(range(3), pa.int64()))
    (together,) = ray_steps.hear(numbered, steps)
    assert together["spectrogram0"].num_chunks == 1
    monkeypatch.setattr(ray_steps, "TOGETHER_BYTES", 1)
    apart = list(ray_steps.hear(numbered, steps))
    assert [len(table) for table in apart] == [1, 1, 1]
    assert pa.concat_tables(apart).equals(together)


def test_blocks_hold_clips_of_like_length(
    make_assets: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what an actor is given together has as few lengths as a part allows."""
    lengths = (0.9, 0.3, 0.8, 0.2, 0.7, 0.1, 0.6)
    plan = plan_of(tmp_path / "clips", lengths, make_assets({"folds": 1}))
    monkeypatch.setattr(on_ray, "TASK_CLIPS", 2)

    blocks = [[lengths[clip] for clip in block["clip"].to_pylist()] for block in on_ray._blocks(plan, 0)]

    assert blocks == [[0.1, 0.2], [0.3, 0.6], [0.7, 0.8], [0.9]]


class TestStore:
    """A cluster with little room for what travels."""

    pytestmark = ray_runs.MARKS

    def test_spectrograms_wait_for_the_actors_and_never_fill_the_store(
        self, make_assets: RecipeMaker, tmp_path: Path
    ) -> None:
        """More spectrograms than the whole store holds: tasks are held back, nothing is spilled, every row comes."""
        front_end = {"name": "log_mel", "sample_rate": RATE, "n_fft": 64, "hop_length": 2, "n_mels": 16}
        weights = make_assets({"folds": 1, "front_end": front_end})
        folder = tmp_path / "clips"
        folder.mkdir()
        for number in range(5):
            soundfile.write(folder / f"{number}.wav", waveform(1.9 + 0.05 * number, number), RATE)
        for number in range(5, 240):
            (folder / f"{number}.wav").hardlink_to(folder / f"{number % 5}.wav")
        spectrograms = 240 * 2.0 * RATE / 2 * 16 * 4  # bytes
        assert spectrograms > 1.1 * 2 * ray_runs.STORE_BYTES
        most = {"used": 0, "spilled": 0}

        with ray_runs.two_nodes() as cluster:

            def look() -> bool:
                try:
                    used, spilled = ray_runs.store_bytes()
                except Exception:  # noqa: BLE001  whatever a connection that comes or goes raises
                    return False
                most["used"] = max(most["used"], used)
                most["spilled"] = max(most["spilled"], spilled)
                return False

            with ray_runs.meanwhile(look):
                found = tagging(weights, tmp_path)(folder, "--engine", "ray", "--address", cluster.address)

        assert found.index.is_unique
        assert len(found) == 240
        assert found["Rain"].notna().all()
        assert MIB < most["used"] < 0.75 * 2 * ray_runs.STORE_BYTES
        assert most["spilled"] == 0
