"""What the default engine holds: counted bytes and objects do not grow with the number of clips."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import LABELS, RATE, RecipeMaker, waveform

from soundpost.archive import here
from soundpost.archive.bar import Bar
from soundpost.archive.clip_list import list_clips
from soundpost.archive.plan import Plan
from soundpost.engine.session import Session
from soundpost.spectrograms.cache.memory_tier import PAGE

MIB = 2**20
EARLY, LATE = 4, 24  # parts after which objects are counted


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that archives are answered in, the latest last."""
    found: list[Session] = []
    provisioned = here.provisioned

    @contextmanager
    def noting(*arguments: Any) -> Iterator[Session]:
        with provisioned(*arguments) as session:
            found.append(session)
            yield session

    monkeypatch.setattr(here, "provisioned", noting)
    return found


def plan_of(folder: Path, count: int, weights: Path, part: int) -> Plan:
    """So many clips of ten lengths, in parts."""
    folder.mkdir()
    for number in range(10):
        soundfile.write(folder / f"{number}.wav", waveform(0.3 + 0.05 * number, number), RATE)
    for number in range(10, count):
        (folder / f"{number}.wav").hardlink_to(folder / f"{number % 10}.wav")
    return Plan(list_clips([str(folder)]), weights, part_clips=part, device="cpu")


def objects() -> Counter[str]:
    """How many objects of each class of the kit, of numpy and of torch there are, and all together."""
    gc.collect()
    everything = gc.get_objects()
    kinds = Counter(type(one).__qualname__ for one in everything if type(one).__module__.startswith("soundpost"))
    return kinds + Counter({"arrays": sum(isinstance(one, np.ndarray) for one in everything), "all": len(everything)})


def test_objects_do_not_grow_with_parts(make_assets: RecipeMaker, tmp_path: Path) -> None:
    """Twenty parts of eight clips later there is not one clip, spectrogram, table or pass more than before."""
    plan = plan_of(tmp_path / "clips", 8 * (LATE + 1), make_assets({"folds": 2}), 8)
    counted: list[Counter[str]] = []

    for part, answers in here.answer_here(plan, range(plan.n_parts), Bar(len(plan.clips), 0, True)):
        assert len(answers) == 8
        del answers
        if part in (EARLY, LATE - 1):  # the last part of all has nothing fetched behind it
            counted.append(objects())

    early, late = counted
    grown = {kind: late[kind] - early[kind] for kind in late}
    # A lane holds the batch that it had last, of one window or more; whatever a part left behind would be there twenty
    # times.
    assert {kind: count for kind, count in grown.items() if kind != "all" and count >= (LATE - EARLY) // 2} == {}
    assert grown["all"] < 8 * (LATE - EARLY)  # less than one object for each clip


@pytest.mark.parametrize("bound", [16 * MIB, 1 * MIB])
def test_spectrograms_in_memory_stay_under_the_bound(
    bound: int, sessions: list[Session], make_assets: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part that takes nearly four times the smaller bound is spilled beyond it, and its answers are the same."""
    fine = {"name": "log_mel", "sample_rate": RATE, "n_fft": 512, "hop_length": 8, "n_mels": 16}
    weights = make_assets({"folds": 2, "front_end": fine})
    plan = plan_of(tmp_path / "clips", 60, weights, 60)
    monkeypatch.setattr(here, "CACHE_BYTES", bound)
    monkeypatch.setattr(here, "cores", lambda: 1)
    most: Counter[str] = Counter()
    show = Bar.show

    def look(bar: Bar, clips: float) -> None:
        cache = sessions[-1].cache
        most["memory"] = max(most["memory"], cache.memory_bytes)
        most["disk"] = max(most["disk"], cache.disk_bytes)
        show(bar, clips)

    monkeypatch.setattr(Bar, "show", look)
    ((_, answers),) = here.answer_here(plan, [0], Bar(60, 0, True))

    cache = sessions[-1].cache
    assert sessions[-1].cache.memory_limit_bytes <= bound
    assert 0 < most["memory"] <= bound + PAGE
    assert bool(most["disk"]) == (bound < 8 * MIB)
    assert (cache.memory_bytes, cache.disk_bytes) == (0, 0)  # with the part its spectrograms went
    assert all(answer.probabilities is not None and len(answer.probabilities) == len(LABELS) for answer in answers)


def test_batches_on_cores_stay_under_their_bound(
    sessions: list[Session], make_assets: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound of a tenth of what a lane could have leaves batches a tenth of their windows, and the same answers."""
    plan = plan_of(tmp_path / "clips", 40, make_assets({"folds": 1}), 40)
    found: dict[int, np.ndarray] = {}
    bounded = here._bound_batches
    for part in (1, 10):
        allowed: dict[str, int] = {}

        def bound(session: Session, share: int = part, allowed: dict[str, int] = allowed) -> None:
            lane_bytes = (session.expected_bytes - session.memory.used_bytes) / len(session.lanes)
            monkeypatch.setattr(here, "BATCH_BYTES", lane_bytes / share)
            allowed.update(session.batch_frames)
            bounded(session)

        with monkeypatch.context() as patch:
            patch.setattr(here, "_bound_batches", bound)
            ((_, answers),) = here.answer_here(plan, [0], Bar(40, 0, True))
        frames = sessions[-1].batch_frames["tiny0"]
        assert frames <= allowed["tiny0"] / part
        assert frames > allowed["tiny0"] / part / 2 - 1
        found[part] = np.array([answer.probabilities for answer in answers])

    np.testing.assert_allclose(found[1], found[10], rtol=0, atol=1e-6)
