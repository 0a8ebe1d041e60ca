"""A worker for tests of the guard: does what the fold's name says, quickly and without torch."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from soundpost.ensemble.recipe_folder import OUT_OF_FOLD, fold_file
from soundpost.training.session.session import STATUS_PAUSED, Found, Session
from soundpost.training.session.task import Task


def finish(session: Session, task: Task) -> None:
    """Leave what the job makes."""
    folder = session.folder(task.plan)
    folder.mkdir(parents=True, exist_ok=True)
    (fold_file(folder, task.fold) if task.fold else folder / OUT_OF_FOLD).write_text(task.device)


def main(task: Task) -> int:
    """Do a task; tries are counted in the scratch folder."""
    session = task.session
    if not task.plan:
        plans = json.loads((Path(session.plans) / "plans.json").read_text())
        if isinstance(plans, str):
            print(f"error: {plans}")
            return 2
        folds = {plan: tuple(names) for plan, names in plans.items()}
        Path(task.sign).write_text(json.dumps(Found(("cpu",), folds, tuple(folds), {}).to_json()))
        return 0
    tries = Path(session.scratch) / f"tries-{task.plan}-{task.fold}"
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    with tries.open("a") as file:
        file.write(f"{task.device}\n")
    count = len(tries.read_text().splitlines())
    what = task.fold.split("-")[0] if count == 1 or task.fold.endswith("always") else "done"
    if what == "killed" or (what == "bad" and task.device == "bad"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "refused":
        print("error: it is of another training: digest aaa there, bbb here")
        return 2
    elif what == "hangs":
        time.sleep(600)
    elif what == "pauses":
        print("paused in stage all, epoch 3 of 9, step 1")
        return STATUS_PAUSED
    elif what == "slow":
        while not stopped and time.monotonic() < session.pause_at:
            Path(task.sign).touch()
            time.sleep(0.01)
        print("paused in stage all, epoch 3 of 9, step 1")
        return STATUS_PAUSED
    finish(session, task)
    return 0


if __name__ == "__main__":
    sys.exit(main(Task.read(Path(sys.argv[1]))))
