"""Ensembles: the best of all combinations, second levels that are found at random, submissions that answer as foretold.

Recipes of the first tests are tables alone; those of the last are trained, built into a kernel and run.
"""

import csv
import subprocess
import sys
import tomllib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from trained import TABLES, make_folder, top_level

from soundpost.audio.decode import AudioSettings, decode
from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.ensemble.recipes import Recipe, parse_recipe
from soundpost.ensemble.rules import geometric_mean
from soundpost.ensemble.weights_file import load_arrays
from soundpost.evaluation.metrics import lwlrap
from soundpost.inference.in_memory import answer, spectrograms_of
from soundpost.models import MODELS
from soundpost.registry import build
from soundpost.training.__main__ import main as train
from soundpost.training.choose import best, every_choice, nested_score
from soundpost.training.ensembles.command import main
from soundpost.training.ensembles.submission import submission_of, write_submission
from soundpost.training.ensembles.window_rows import WindowRows
from soundpost.training.ensembles.windows import write_windows
from soundpost.training.out_of_fold import write_table

LABELS = ("Bark", "Meow", "Purr", "Rain")
CLIPS = 60
FOLDS = tuple(str(1 + row % 3) for row in range(CLIPS))
FILES = tuple(f"{row}.wav" for row in range(CLIPS))
TRUTH = np.eye(len(LABELS), dtype=np.float32)[np.arange(CLIPS) % len(LABELS)]


def table(seed: int, strength: float) -> np.ndarray:
    """Answers that are right as often as they are strong."""
    noise = np.random.default_rng(seed).standard_normal(TRUTH.shape)
    return 1 / (1 + np.exp(-(strength * TRUTH - 1 + noise)))


def recipe(root: Path, name: str, answers: np.ndarray, files: tuple[str, ...] = FILES) -> Path:
    """A recipe folder with answers, whose network is of no importance."""
    rest = {"front_end": {"name": "log_mel"}, "model": {"name": "compact"}}
    write_recipe(root / name, name, rest, LABELS, [NewMember("1", {"weight": np.zeros(1, np.float32)})])
    write_table(root / name / "out_of_fold.csv", files, FOLDS, LABELS, answers)
    return root / name


def labelled(root: Path) -> Path:
    """The csv of the truth."""
    path = root / "labels.csv"
    rows = [f"{name},{LABELS[int(row.argmax())]}" for name, row in zip(FILES, TRUTH, strict=True)]
    path.write_text("\n".join(["fname,labels", *rows]) + "\n")
    return path


def read(path: Path) -> np.ndarray:
    """The probabilities of a table."""
    with path.open(newline="") as file:
        return np.array([[float(value) for value in row[2:]] for row in list(csv.reader(file))[1:]])


def test_every_choice_scores_what_rule_and_metric_of_the_kernel_score() -> None:
    """All subsets of five tables, zeros and ties among them, against geometric mean and lwlrap as they stand."""
    tables = [np.round(table(seed, 1.0), 1) for seed in range(5)]
    found = every_choice(TRUTH, tables)
    expected = []
    for size in range(1, 6):
        for subset in combinations(range(5), size):
            # Rounded as logarithms of products are not, so that ties of a tenth stay ties.
            blend = geometric_mean([tables[number] for number in subset], np.full((size, CLIPS), 1 / size)).round(12)
            expected.append((subset, lwlrap(TRUTH, blend)))
    assert [choice.subset for choice in found] == [subset for subset, _ in expected]
    differ = [abs(choice.score - score) for choice, (_, score) in zip(found, expected, strict=True)]
    assert np.median(differ) < 1e-12
    # A product of the same factors in another order may or may not be a tie.
    assert max(differ) < 0.02


def test_nested_score_is_that_of_choosing_without_each_fold() -> None:
    """By hand: on the rows of other folds the best subset, on the fold's own rows its precision."""
    tables = [table(seed, 0.5 + 0.3 * seed) for seed in range(4)]
    total = 0.0
    for fold in sorted(set(FOLDS)):
        own = np.array([name == fold for name in FOLDS])
        chosen = best(every_choice(TRUTH[~own], [one[~own] for one in tables]))
        equal = np.full((len(chosen.subset), int(own.sum())), 1 / len(chosen.subset))
        total += (
            lwlrap(TRUTH[own], geometric_mean([tables[number][own] for number in chosen.subset], equal)) * own.sum()
        )
    assert nested_score(TRUTH, tables, FOLDS) == pytest.approx(total / CLIPS)


def test_choose_writes_the_best_blend_and_keeps_what_is_said_of_the_contest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Noise is left out, the blend's answers lie beside it, [contest] stays."""
    folders = [recipe(tmp_path, f"r{seed}", table(seed, strength)) for seed, strength in enumerate([3, 2.5, 0.0])]
    out = tmp_path / "submission.toml"
    out.write_text('format = 1\nrecipes = ["old"]\n[contest]\nid_column = "fname"\n')
    assert main(["choose", *map(str, folders), "--csv", str(labelled(tmp_path)), "--out", str(out)]) == 0
    written = tomllib.loads(out.read_text())
    choice = best(every_choice(TRUTH, [read(folder / "out_of_fold.csv") for folder in folders]))
    assert written["recipes"] == [folders[number].name for number in choice.subset] == ["r0", "r1"]
    assert written["blend"] == {"name": "geometric_mean", "folds": "geometric_mean"}
    assert written["contest"] == {"id_column": "fname"}
    beside = read(tmp_path / "submission_out_of_fold.csv")
    np.testing.assert_allclose(beside, np.sqrt(table(0, 3) * table(1, 2.5)), rtol=1e-4)
    said = capsys.readouterr().out
    assert f"lwlrap {choice.score:.4f}" in said
    assert "contest of the former one stay" in said
    assert "soundpost build --submission" in said


def test_choose_at_most_bounds_the_blend(tmp_path: Path) -> None:
    """The best of the pairs and of those alone."""
    folders = [recipe(tmp_path, f"r{seed}", table(seed, 1.0)) for seed in range(5)]
    out = tmp_path / "submission.toml"
    words = ["choose", *map(str, folders), "--csv", str(labelled(tmp_path)), "--out", str(out), "--at-most", "2"]
    assert main(words) == 0
    assert len(tomllib.loads(out.read_text())["recipes"]) <= 2


def _without_answers(root: Path) -> list[str]:
    folder = recipe(root, "other", table(5, 1.0))
    (folder / "out_of_fold.csv").unlink()
    return [str(folder)]


def _elsewhere(root: Path) -> list[str]:
    return [str(recipe(root / "elsewhere", "other", table(5, 1.0)))]


def _no_probability(root: Path) -> list[str]:
    folder = recipe(root, "other", table(5, 1.0))
    text = (folder / "out_of_fold.csv").read_text().splitlines()
    text[3] = "2.wav,3,0.5,nan,0.5,0.5"
    (folder / "out_of_fold.csv").write_text("\n".join(text))
    return [str(folder)]


REFUSED = {
    "without answers": (_without_answers, "out_of_fold.csv is not there. Train other with folds"),
    "elsewhere": (_elsewhere, "other not beside it. A submission names folders of its own folder"),
    "no recipe": (lambda root: [str(root / "nobody")], "recipe.toml is not there. Name the folder of a recipe"),
    "twice": (lambda root: [str(root / "r0")], "r0 named twice"),
    "no clip": (
        lambda root: [str(recipe(root, "other", table(5, 1.0), tuple(f"x{name}" for name in FILES)))],
        "no clip stands in",
    ),
    "no probability": (_no_probability, "out_of_fold.csv, line 4: a probability that is none"),
    "at most": (lambda root: ["--at-most", "0"], "--at-most 0: at least 1 is needed."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_choose_refuses_in_one_line(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 2, what is wrong and where; nothing is written."""
    first = recipe(tmp_path, "r0", table(0, 1.0))
    make, message = REFUSED[name]
    out = tmp_path / "submission.toml"
    assert main(["choose", str(first), *make(tmp_path), "--csv", str(labelled(tmp_path)), "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_second_level_finds_that_one_recipe_is_right_about_some_classes_and_another_about_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A blend cannot know which recipe to trust; the network does, also when it is called again, byte for byte."""
    sure, lost = table(0, 6.0), table(1, 0.0)
    by_class = np.arange(len(LABELS)) < 2
    folders = [
        recipe(tmp_path, "first", np.where(by_class, sure, lost)),
        recipe(tmp_path, "second", np.where(by_class, lost, sure)),
    ]
    csv_file = str(labelled(tmp_path))
    search = ["second-level", *map(str, folders), "--csv", csv_file, "--out", str(tmp_path / "net")]
    assert main([*search, "--trials", "2", "--keep", "1", "--epochs", "30", "--draws", "1024"]) == 0
    said = capsys.readouterr().out
    assert "learns from whole clips of 2 recipes" in said
    kept = next(path for path in tmp_path.iterdir() if path.name.startswith("net_"))
    written = parse_recipe((kept / "recipe.toml").read_text(), "")
    assert written.front_end.settings["inputs"] == ["first", "second"]
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    scored = lwlrap(TRUTH, read(kept / "out_of_fold.csv"))
    assert scored > best(every_choice(TRUTH, [read(folder / "out_of_fold.csv") for folder in folders])).score + 0.02
    assert main([*search, "--trials", "2", "--keep", "1", "--epochs", "30", "--draws", "1024"]) == 0
    assert before == {path.name: path.read_bytes() for path in kept.iterdir()}
    with (tmp_path / "net" / "trials.csv").open(newline="") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == ["0", "1"]

    out = tmp_path / "submission.toml"
    assert main(["choose", *map(str, folders), str(kept), "--csv", csv_file, "--out", str(out)]) == 0
    submission = tomllib.loads(out.read_text())
    assert submission["second_level"] == [kept.name]
    assert submission["recipes"] == ["first", "second"]


def test_window_rows_show_means_of_some_of_a_clips_windows() -> None:
    """As many clips as are drawn; every input lies between the least and the greatest of the clip's own windows."""
    windows = [torch.rand(3, 2, 4, generator=torch.Generator().manual_seed(row)) for row in range(4)]
    rows = WindowRows(windows, torch.eye(4), 2, 64)
    generator = torch.Generator().manual_seed(0)
    shown = [rows.batch(step, 0, generator) for step in rows.epoch(0, generator)]
    assert sum(len(batch) for batch in shown) == 64
    every = torch.stack(windows)
    differing = 0
    for batch in shown:
        own = every[batch.targets.argmax(1)]
        assert ((batch.inputs >= own.amin(1) - 1e-6) & (batch.inputs <= own.amax(1) + 1e-6)).all()
        differing += int((~torch.isclose(batch.inputs, own.mean(1), atol=1e-6)).flatten(1).any(1).sum())
    # All three windows are heard where neither a run nor a subset is drawn, or whole ones are.
    assert 24 < differing < 56


def test_second_level_learns_from_windows_where_all_recipes_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows of one to three a clip; a recipe without them, or with others, means whole clips."""
    folders = [recipe(tmp_path, f"r{seed}", table(seed, 2.0)) for seed in range(2)]
    for folder in folders:
        answers = torch.from_numpy(read(folder / "out_of_fold.csv")).float()
        write_windows(folder, [row.repeat(1 + number % 3, 1) for number, row in enumerate(answers)])
    search = ["second-level", *map(str, folders), "--csv", str(labelled(tmp_path)), "--out", str(tmp_path / "net")]
    assert main([*search, "--trials", "1", "--epochs", "2", "--draws", "64"]) == 0
    assert "learns from windows of 2 recipes" in capsys.readouterr().out
    write_windows(folders[0], [row[None] for row in answers])
    assert main([*search[:-1], str(tmp_path / "again"), "--trials", "1", "--epochs", "2", "--draws", "64"]) == 0
    assert "learns from whole clips of 2 recipes" in capsys.readouterr().out


def test_stacker_that_learns_nothing_stays_the_mean(tmp_path: Path) -> None:
    """Trained by one epoch on labels of chance it is no better than untrained, and so keeps the mean's order."""
    folders = [recipe(tmp_path, f"r{seed}", table(seed, 3.0)) for seed in range(2)]
    search = ["second-level", *map(str, folders), "--csv", str(labelled(tmp_path)), "--out", str(tmp_path / "stacker")]
    assert main([*search, "--network", "qrfaction_stacker", "--epochs", "1"]) == 0
    mean = (read(folders[0] / "out_of_fold.csv") + read(folders[1] / "out_of_fold.csv")) / 2
    stacked = read(tmp_path / "stacker_0" / "out_of_fold.csv")
    assert lwlrap(TRUTH, stacked) >= lwlrap(TRUTH, mean) - 1e-9
    out = tmp_path / "submission.toml"
    names = [*map(str, folders), str(tmp_path / "stacker_0")]
    assert main(["choose", *names, "--csv", str(labelled(tmp_path)), "--out", str(out)]) == 0


PLAN = (
    TABLES
    + """
[out_of_fold]
name = "tiles"
frames = 16
step = 8
derivatives = false
divisor = 1.0
[folds]
FOLDS
[[stages]]
epochs = 6
batch = 4
schedule = { name = "one_cycle_v1" }
optimiser = { name = "adamw", rate = 1e-2 }
"""
)


def trained(folder: Path, name: str, folds: str, seed: int) -> Path:
    """A recipe, trained in no time."""
    (folder / f"{name}.toml").write_text(top_level(PLAN.replace("FOLDS", folds)))
    curated = f"{folder / 'curated.csv'}:{folder / 'curated'}"
    out = folder / "weights" / name
    words = [str(folder / f"{name}.toml"), "--curated", curated, "--out", str(out), "--device", "cpu"]
    assert train([*words, "--seed", str(seed)]) == 0
    return out


def run_kernel(folder: Path, submission: Path, names: list[str]) -> np.ndarray:
    """What a kernel that is built from a submission answers to some of the curated clips, (clips, low and high)."""
    clips, work = folder / "test", folder / "work"
    clips.mkdir()
    work.mkdir()
    for name in names:
        (clips / name).write_bytes((folder / "curated" / name).read_bytes())
    sample = folder / "sample_submission.csv"
    sample.write_text("fname,low,high\n" + "".join(f"{name},0,0\n" for name in names))
    build_it = [sys.executable, "-m", "soundpost.cli", "build", "--submission", str(submission)]
    made = subprocess.run(
        [*build_it, "--out", str(work / "kernel.py"), "--dist", str(work)], capture_output=True, text=True, timeout=240
    )
    assert made.returncode == 0, made.stdout + made.stderr
    options = ["--test-dir", str(clips), "--sample-submission", str(sample), "--out", str(work / "submission.csv")]
    run = subprocess.run(
        [sys.executable, "kernel.py", *options, "--scratch", str(work), "--time-limit", "5m", "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=work,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    with (work / "submission.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["fname", "low", "high"]
    assert [row[0] for row in rows] == names
    return np.array([[float(value) for value in row[1:]] for row in rows])


@pytest.mark.slow
def test_chosen_ensemble_built_into_a_kernel_answers_as_foretold(tmp_path: Path) -> None:
    """One fold is held out: the kernel answers its clips as the table beside the submission says."""
    folder = make_folder(tmp_path)
    folds = 'name = "held_out"\nfraction = 0.5\nseed = 42'
    folders = [trained(folder, name, folds, seed) for seed, name in enumerate(("one", "two", "three"))]
    out = folder / "weights" / "submission.toml"
    assert main(["choose", *map(str, folders), "--csv", str(folder / "curated.csv"), "--out", str(out)]) == 0
    with out.with_name("submission_out_of_fold.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    names = [row[0] for row in rows]
    assert len(names) == 6
    foretold = np.array([[float(row[header.index(label)]) for label in ("low", "high")] for row in rows])
    found = run_kernel(folder, out, names)
    np.testing.assert_allclose(found, foretold, atol=2e-3)
    assert found.std(axis=0).min() > 1e-3, "every clip has the same answer, so nothing was compared"


@pytest.mark.slow
def test_second_level_built_into_a_kernel_answers_as_its_parts_do(tmp_path: Path) -> None:
    """Two recipes of two folds, a network over them: the kernel blends folds, then asks it, then blends all three."""
    folder = make_folder(tmp_path)
    folders = [trained(folder, name, 'name = "column"', seed) for seed, name in enumerate(("one", "two"))]
    root, labels_csv = folder / "weights", str(folder / "curated.csv")
    search = ["second-level", *map(str, folders), "--csv", labels_csv, "--out", str(root / "net"), "--trials", "1"]
    assert main([*search, "--epochs", "3", "--draws", "256"]) == 0
    recipes = [parse_recipe((root / name / "recipe.toml").read_text(), name) for name in ("one", "two", "net_0")]
    write_submission(root / "submission.toml", submission_of(recipes), [*folders, root / "net_0"])
    names = [f"{number}.wav" for number in range(12)]
    found = run_kernel(folder, root / "submission.toml", names)

    def blended(known: Recipe) -> np.ndarray:
        waveforms = [decode(folder / "curated" / name, AudioSettings(**known.audio)).waveform for name in names]
        spectrograms = spectrograms_of(known, waveforms, torch.device("cpu"))
        by_fold = [
            answer(known, member, load_arrays(root / known.name / member.file, member.sha256, ""), spectrograms, 1)
            for member in known.members
        ]
        return np.exp(np.mean(np.log(by_fold), axis=0))

    first = [blended(known) for known in recipes[:2]]
    second = []
    for member in recipes[2].members:
        network = build(MODELS, recipes[2].model.name, recipes[2].model.settings, "model", 2).eval()
        arrays = load_arrays(root / "net_0" / member.file, member.sha256, "")
        network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
        with torch.inference_mode():
            second.append(network(torch.from_numpy(np.stack(first, 1)).float()).sigmoid().numpy())
    expected = np.cbrt(first[0] * first[1] * np.exp(np.mean(np.log(second), axis=0)))
    order = [recipes[0].labels.index(label) for label in ("low", "high")]
    np.testing.assert_allclose(found, expected[:, order], atol=2e-3)
