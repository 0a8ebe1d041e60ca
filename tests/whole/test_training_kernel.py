"""A training kernel rehearsed on an imitation of Kaggle's folders: sessions, kills, and the kernel of its weights."""

import csv
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
from tiny_tables import TINY, write_tone

from soundpost.kernel.command import main as build
from soundpost.kernel.render import Kernel, notebook

pytestmark = pytest.mark.slow

SLUG = "freesound-audio-tagging-2019"
PLAN = (
    f"\nformat = 1{TINY}"
    """\
[folds]
name = "{rule}"
count = 2
[input]
name = "spectrograms"
[[augment]]
name = "pad"
frames = 24
[[augment]]
name = "crop"
frames = 24
[optimiser]
name = "adam"
rate = 5e-3
[[stages]]
epochs = 30
batch = 3
"""
)
# Not in Kaggle's image, or nothing that a kernel may need.
PACKAGES = ("tomli_w", "iterstrat", "audiomentations", "onnxruntime", "kaggle", "jinja2")


class Kaggle:
    """An imitation of its folders: the contest is mounted, and a session's output becomes a source of the next."""

    def __init__(self, home: Path, contest: str, output: str) -> None:
        self.home = home
        self.input = home / "input"
        self.output = output
        self.sessions = 0
        make_contest(self.input / contest)

    def session(self, kernel: Path, *words: str) -> "subprocess.Popen[str]":
        """Start a kernel in a fresh working folder, read-only input, no packages beyond the image's."""
        self.sessions += 1
        self.working.mkdir()
        options = ["--input-root", str(self.input), "--device", "cpu", "--save-every", "0s", *words]
        return subprocess.Popen(
            [sys.executable, str(kernel), *options],
            cwd=self.working,
            env=environment(self.home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def working(self) -> Path:
        """The working folder of the session that began last."""
        return self.home / f"working{self.sessions}"

    def attach_output(self) -> None:
        """What the last session left is mounted from now on."""
        place = self.input / self.output
        if place.exists():
            for path in (place, *place.rglob("*")):
                path.chmod(0o755)
            shutil.rmtree(place)
        shutil.copytree(self.working, place)
        for path in place.rglob("*"):
            path.chmod(0o555 if path.is_dir() else 0o444)


def environment(home: Path) -> dict[str, str]:
    """One in which packages that Kaggle's image has not cannot be imported, nor this checkout."""
    absent = home / "absent"
    absent.mkdir(exist_ok=True)
    for name in PACKAGES:
        (absent / f"{name}.py").write_text(f"raise ImportError('{name} is not in the image')\n")
    return {**os.environ, "PYTHONPATH": str(absent), "OMP_NUM_THREADS": "1"}


def make_contest(folder: Path) -> None:
    """FSDKaggle2019's files, small: sixteen curated clips, three test clips, a sample submission."""
    random = np.random.default_rng(0)
    for kind, count in (("train_curated", 16), ("test", 3)):
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            write_tone(folder / kind / f"{number}.wav", number, 0.3 + 0.02 * number, random)
    rows = [[f"{number}.wav", "High" if number % 2 else "Low"] for number in range(16)]
    for name, head, lines in (
        ("train_curated.csv", ["fname", "labels"], rows),
        ("sample_submission.csv", ["fname", "High", "Low"], [[f"{number}.wav", 0, 0] for number in range(3)]),
    ):
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows([head, *lines])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything of this file lies."""
    return tmp_path_factory.mktemp("kaggle")


@pytest.fixture(scope="module")
def kernel(home: Path) -> Path:
    """A training kernel of a user's plan, whose folds were dealt when it was built."""
    # Where the build itself runs on the image's packages, as in `make image`, the rule is one that is there.
    rule = "multilabel_stratified" if find_spec("iterstrat") else "kfold"
    (home / "tones.toml").write_text(PLAN.replace("{rule}", rule))
    make_contest(home / "here")
    out = home / "train_kernel.py"
    words = ["--train", str(home / "tones.toml"), "--folds-from", str(home / "here" / "train_curated.csv")]
    assert build([*words, "--competition", SLUG, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def whole(home: Path, kernel: Path) -> Path:
    """What one long session leaves, in the older layout."""
    kaggle = Kaggle(home / "long", SLUG, "training")
    done = ended(kaggle.session(kernel))
    assert done.splitlines()[-1].startswith("done: 2 of 2 (tones/0, tones/1); missing: nothing; next: fetch the output")
    return kaggle.working


def ended(session: "subprocess.Popen[str]") -> str:
    """What a session said; it ended well."""
    said, _ = session.communicate(timeout=400)
    assert session.returncode == 0, said
    return said


def weights(working: Path) -> dict[str, bytes]:
    """Everything that a session leaves but histories, which hold seconds."""
    return {
        path.relative_to(working).as_posix(): path.read_bytes()
        for path in sorted((working / "weights").rglob("*"))
        if path.is_file() and not path.name.startswith("history_")
    }


def until(condition: object, session: "subprocess.Popen[str]") -> None:
    """Wait for something that a session does."""
    ends = time.monotonic() + 300
    while not condition():
        assert session.poll() is None, session.communicate()[0]
        assert time.monotonic() < ends
        time.sleep(0.02)


def workers(session: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The processes that a session started."""
    return psutil.Process(session.pid).children()


def test_long_session_leaves_a_recipe_scores_and_no_checkpoint(whole: Path) -> None:
    """What an inference kernel is built from, and nothing of features."""
    assert sorted(weights(whole)) == [
        "weights/submission.toml",
        "weights/tones/fold0.safetensors",
        "weights/tones/fold1.safetensors",
        "weights/tones/out_of_fold.csv",
        "weights/tones/recipe.toml",
    ]
    assert sorted(path.name for path in whole.iterdir()) == ["session.json", "weights"]


def test_two_short_sessions_equal_one_long_one(home: Path, kernel: Path, whole: Path) -> None:
    """Cancelled in the middle of the first member; the next one finds the output in the newer layout."""
    kaggle = Kaggle(home / "short", f"competitions/{SLUG}", "notebooks/me/training")
    session = kaggle.session(kernel)
    checkpoint = kaggle.working / "weights" / "tones" / "fold0.checkpoint"
    until(checkpoint.is_file, session)
    session.send_signal(signal.SIGTERM)
    said = ended(session)
    assert "ended early by signal 15" in said
    assert re.search(r"done: 0 of 3 \(none\); missing: tones/0, tones/1, .*; next: push this kernel again", said)
    assert checkpoint.is_file()

    kaggle.attach_output()
    said = ended(kaggle.session(kernel))
    assert "goes on from " + str(kaggle.input / "notebooks" / "me" / "training") in said
    assert re.search(r"tones/0 on cpu: tones/0 goes on from stage 1 of 1, epoch \d+, step \d+", said)
    assert weights(kaggle.working) == weights(whole)
    assert json.loads((kaggle.working / "session.json").read_text())["session"] == 2


def test_killed_worker_and_killed_session_cost_nothing_that_was_saved(home: Path, kernel: Path, whole: Path) -> None:
    """SIGKILL for a worker: the session goes on. For the guard: its workers die too, and the next session goes on."""
    kaggle = Kaggle(home / "killed", SLUG, "training")
    session = kaggle.session(kernel)
    checkpoints = kaggle.working / "weights" / "tones"
    until((checkpoints / "fold0.checkpoint").is_file, session)
    (worker,) = workers(session)
    worker.kill()
    until((checkpoints / "fold1.checkpoint").is_file, session)
    (worker,) = workers(session)
    session.kill()
    said, _ = session.communicate(timeout=60)
    worker.wait(timeout=60)
    assert "tones/0: ended with signal 9 on cpu; tried again from its last checkpoint" in said
    assert re.search(r"tones/0 goes on from stage 1 of 1", said)

    kaggle.attach_output()
    said = ended(kaggle.session(kernel))
    assert re.search(r"tones/1 goes on from stage 1 of 1", said)
    assert weights(kaggle.working) == weights(whole)


def test_session_ends_at_its_limit_with_what_is_there(home: Path, kernel: Path) -> None:
    """However long a plan is: status 0 in time, and a last line that says what to do."""
    kaggle = Kaggle(home / "limited", SLUG, "training")
    began = time.monotonic()
    said = ended(kaggle.session(kernel, "--limit", "60s", "--epochs", "100000"))
    assert time.monotonic() - began < 60 + 15  # the interpreter's start and end come on top
    assert re.search(r"tones/0: (paused in stage all, epoch \d+ of 100000|ended with signal 9)", said)
    assert said.splitlines()[-1].startswith("done: 0 of 3 (none); missing: tones/0, tones/1")


def test_output_of_another_training_is_refused_and_kept(home: Path, kernel: Path, whole: Path) -> None:
    """Both digests are in the log, nothing is overwritten, and the run ends well all the same."""
    kaggle = Kaggle(home / "other", SLUG, "training")
    kaggle.working.parent.mkdir(exist_ok=True)
    shutil.copytree(whole, kaggle.working)
    kaggle.attach_output()
    said = ended(kaggle.session(kernel, "--seed", "1"))
    assert re.search(r"error: .*fold0\.safetensors is of another training: digest \w{12} there, \w{12} here", said)
    assert "missing: tones; next: correct this and push again: tones: " in said.splitlines()[-1]
    assert weights(kaggle.working) == weights(whole)


def test_full_disk_costs_checkpoints_and_members_and_not_the_session(home: Path, kernel: Path, whole: Path) -> None:
    """Nothing larger than four thousand bytes can be written any more; with room again the next session goes on."""
    kaggle = Kaggle(home / "full", SLUG, "training")
    session = kaggle.session(kernel)
    until((kaggle.working / "weights" / "tones" / "fold0.checkpoint").is_file, session)
    for pid in (session.pid, *(worker.pid for worker in workers(session))):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4000, 4000))
    said = ended(session)
    assert "fold0.checkpoint could not be written (File too large); training goes on without it" in said
    assert said.splitlines()[-1].startswith("done: 0 of 3 (none); missing: tones/0, tones/1")
    assert not list(kaggle.working.rglob("*.part"))

    kaggle.attach_output()
    said = ended(kaggle.session(kernel))
    assert "tones/0 goes on from stage 1 of 1" in said
    assert weights(kaggle.working) == weights(whole)


def test_clips_that_are_not_there_end_the_session_well_with_the_reason(home: Path, kernel: Path) -> None:
    """Another contest was attached."""
    kaggle = Kaggle(home / "nothing", "some-other-contest", "training")
    (kaggle.input / "some-other-contest" / "train_curated.csv").unlink()
    said = ended(kaggle.session(kernel))
    assert "error: tones: no clips to train on under" in said
    assert "say in SETTINGS where they are" in said.splitlines()[-1]


def test_training_kernel_begins_with_weights_that_are_attached(home: Path, kernel: Path, whole: Path) -> None:
    """A recipe as a dataset, in the newer layout; where it is not attached, one line says so and the session ends."""
    kaggle = Kaggle(home / "begun", SLUG, "training")
    said = ended(kaggle.session(kernel, "--start", "tones-before"))
    assert "missing: tones; next: correct this and push again: tones: --start tones-before: nothing under" in said

    shutil.copytree(whole / "weights" / "tones", kaggle.input / "datasets" / "me" / "tones-before")
    said = ended(kaggle.session(kernel, "--start", "tones-before", "--epochs", "1", "--folds", "0"))
    assert re.search(r"tones/0 on cpu: \S+/tones-before: (\d+) of \1 arrays for fold 0", said)
    assert said.splitlines()[-1].startswith("done: 1 of 1 (tones/0); missing: nothing")


def test_two_devices_train_two_members_at_once(home: Path, kernel: Path, whole: Path) -> None:
    """As on two T4s; which device trained a member does not show."""
    kaggle = Kaggle(home / "two", SLUG, "training")
    session = kaggle.session(kernel, "--device", "cpu,cpu")
    folder = kaggle.working / "weights" / "tones"
    until(lambda: all(any(folder.glob(f"fold{fold}.*")) for fold in "01"), session)
    ended(session)
    assert weights(kaggle.working) == weights(whole)


def test_training_kernel_in_a_notebook_cell_trains(
    home: Path, kernel: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pasted in a cell: the same members, and a second cell that shows their last epochs."""
    nbformat = pytest.importorskip("nbformat", reason="no notebook can be run without it")
    nbclient = pytest.importorskip("nbclient", reason="no notebook can be run without it")
    kaggle = Kaggle(home / "cell", SLUG, "training")
    folder = kaggle.home / "cell"
    folder.mkdir()
    settings = f'    "device": "cpu",\n    "input-root": {str(kaggle.input)!r},\n'
    text = kernel.read_text("utf-8")
    line = next(line for line in text.splitlines(keepends=True) if line.startswith('    "device": "auto",'))
    cells = notebook(Kernel(text.replace(line, settings), {}, ()), "# Training", "training_preview.py")
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    run = nbformat.from_dict(cells)
    nbclient.NotebookClient(run, timeout=400, resources={"metadata": {"path": str(folder)}}).execute()
    assert weights(folder) == weights(whole)
    shown = "".join(str(output) for output in run.cells[2].outputs)
    assert "session 1: done: 2 of 2" in shown
    assert "tones/1" in shown


@pytest.mark.parametrize("way", ["packed", "dataset", "kernel"])
def test_kernel_of_its_weights_runs_and_answers(home: Path, whole: Path, way: str) -> None:
    """Packed, as a dataset, and straight from the training kernel's output in either layout."""
    dist = home / f"dist-{way}"
    words = ["--submission", str(whole / "weights" / "submission.toml"), "--dist", str(dist)]
    more = {"packed": [], "dataset": ["--apart", "tones/0,tones/1"], "kernel": ["--weights-by", "me/training"]}[way]
    assert build([*words, *more, "--kaggle", "me", "--competition", SLUG]) == 0
    mounted = home / f"input-{way}"
    make_contest(mounted / "competitions" / SLUG)
    metadata = json.loads((dist / "kernel" / "kernel-metadata.json").read_text())
    if way == "dataset":
        shutil.copytree(dist / "weights-dataset", mounted / "datasets" / "me" / "soundpost-weights")
    if way == "kernel":
        assert metadata["kernel_sources"] == ["me/training"]
        shutil.copytree(whole, mounted / "notebooks" / "me" / "training")
    assert (dist / "weights-dataset").exists() == (way == "dataset")
    working = home / f"answers-{way}"
    working.mkdir()
    done = subprocess.run(
        [sys.executable, str(dist / "kernel" / "kernel.py"), "--input-root", str(mounted), "--device", "cpu"],
        cwd=working,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((working / "run.json").read_text())["ended"]["answered"] == 3
    with (working / "submission.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["fname", "High", "Low"]
    assert len({tuple(row[1:]) for row in rows[1:]}) == 3
