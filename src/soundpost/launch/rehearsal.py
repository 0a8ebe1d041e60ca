"""A rehearsal of the hidden run, when a kernel is saved and the test folder holds no recording yet.

Some of the contest's training recordings take the place of the hidden ones, as a dry run measures them: the log
foretells what the hidden set will take. The answer that is left is the one to the stub sample.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from soundpost.contest.contest import Contest
from soundpost.contest.rows import is_recording
from soundpost.settings import RunSettings

FOLDERS = ("train_soundscapes", "unlabeled_soundscapes", "unlabelled_soundscapes")
MOST_RECORDINGS = 16  # they are measured, evenly taken from all by name
HIDDEN_RECORDINGS = 700  # what the hidden set of BirdCLEF 2025 held
HIDDEN_SECONDS = 60.0  # s, the length of each of them


@contextmanager
def rehearsal(run: RunSettings, contest: Contest) -> Iterator[RunSettings | None]:
    """The settings of the rehearsal; None where there is something to answer, or nothing to rehearse with.

    Args:
        run: as it is asked for.
        contest: whose recordings may not be there yet.
    """
    recordings = _training_recordings(Path(run.sample_submission).parent)
    windows = contest.windows
    if run.dry_run or windows is None or windows.rows.branch != "imitation" or not recordings:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="soundpost-rehearsal-") as folder:
        stage = Path(folder)
        (stage / "test").mkdir()
        for recording in recordings:
            (stage / "test" / recording.name).symlink_to(recording.absolute())
        shutil.copy(run.sample_submission, stage / "sample_submission.csv")
        yield replace(
            run,
            test_dir=str(stage / "test"),
            sample_submission=str(stage / "sample_submission.csv"),
            out=str(stage / "submission.csv"),
            dry_run=True,
            expect_clips=run.expect_clips or HIDDEN_RECORDINGS,
            expect_seconds=run.expect_seconds or HIDDEN_SECONDS,
        )


def _training_recordings(folder: Path) -> list[Path]:
    """Recordings of the contest's training set, beside its sample; at most MOST_RECORDINGS of them."""
    for name in FOLDERS:
        try:
            found = sorted(path for path in (folder / name).iterdir() if is_recording(path.name))
        except OSError:
            continue
        if found:
            step = max(1.0, (len(found) - 1) / max(1, MOST_RECORDINGS - 1))
            chosen = dict.fromkeys(round(i * step) for i in range(MOST_RECORDINGS))
            return [found[i] for i in chosen if i < len(found)]
    return []
