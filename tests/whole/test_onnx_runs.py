"""Whole runs with networks that are ONNX files: alone, blended, killed, short of memory, without their runtime."""

import os
import re
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile
import tomli_w
import torch
from conftest import LABELS, RATE, RecipeMaker, SettingsMaker
from onnx_graphs import slow_tagger, tagger, tagger_logits
from stand_in_gpus import GPUS, stand_in
from started_runs import PYTHONPATH, Started, start, stop, table

from soundpost.engine import run as run_module
from soundpost.ensemble.weights_file import sha256_of
from soundpost.ensemble.weights_folder import find_assets
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.graph_export.onnx_export import export
from soundpost.importers.add import name_in_submission
from soundpost.importers.onnx_member import add_onnx
from soundpost.models import MODELS

LOG_MEL = {"sample_rate": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 16}
TABLE: dict[str, Any] = {
    "audio": {"sample_rate": RATE},
    "front_end": {"name": "log_mel", **LOG_MEL},
    "views": [{"name": "whole"}],
    "priors": [0.1, 0.2, 0.3, 0.4],
}
SMALL = 0.02  # scale of the weights, so that logits of some 40 dB stay where a sigmoid is not flat
SAME = 2e-5  # how far a probability may move: submission.csv and another order of sums

Weights = Callable[..., Path]


@pytest.fixture
def make_onnx(tmp_path: Path) -> Weights:
    """Makes weights/ with a recipe of ONNX files alone: two folds whose answers differ."""

    def make(graphs: Sequence[bytes] = (tagger(SMALL), tagger(2 * SMALL)), folder: str = "onnx", **others: Any) -> Path:
        files = []
        for number, graph in enumerate(graphs):
            files.append(tmp_path / f"{folder}{number}.onnx")
            files[-1].write_bytes(graph)
        weights = tmp_path / folder
        add_onnx(files, weights, "theirs", {**TABLE, **others}, LABELS)
        name_in_submission(weights, "theirs", alone=True)
        return weights

    return make


def by_hand(contest: Path, scales: Sequence[float] = (SMALL, 2 * SMALL)) -> np.ndarray:
    """Probabilities (clips, classes): the kit's front end, then numpy, mean over the folds."""
    front_end = LogMel(LogMelSettings(**LOG_MEL))
    rows = []
    for path in sorted((contest / "test").glob("*.wav")):
        waveform, _ = soundfile.read(path, dtype="float32")
        windows = front_end(torch.from_numpy(waveform)[None]).numpy()
        rows.append(np.mean([1 / (1 + np.exp(-tagger_logits(windows, scale)[0])) for scale in scales], 0))
    return np.stack(rows)


def without_runtimes(folder: Path) -> dict[str, str]:
    """Environment of an image that has neither runtime."""
    for name in ("onnxruntime", "openvino"):
        (folder / "hidden" / name).mkdir(parents=True)
        (folder / "hidden" / name / "__init__.py").write_text(f'raise ImportError("No module named {name!r}")\n')
    return {"PYTHONPATH": os.pathsep.join((str(folder / "hidden"), PYTHONPATH))}


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "openvino"])
def test_two_onnx_folds_without_any_torch_network_give_the_answers_of_numpy(
    make_onnx: Weights, make_clips: Callable[..., Path], tmp_path: Path, backend: str
) -> None:
    """No model of the kit knows this network; front end, views, labels and blend are the recipe's as for any other."""
    contest, weights = make_clips(), make_onnx()
    assert tomllib.loads((weights / "theirs/recipe.toml").read_text())["model"]["name"] not in MODELS

    run = start(tmp_path / "run", weights, contest, "--backend", backend)

    assert run.finish() == 0, run.said()
    assert run.faults == []
    assert run.left_behind() == []
    np.testing.assert_allclose(table(run.out), by_hand(contest), rtol=0, atol=SAME)


def test_onnx_and_torch_members_blend_as_torch_members_do(
    make_onnx: Weights, make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """The mean over all five members is three parts of one recipe and two of the other."""
    contest, both = make_clips(), make_assets(folder="both")
    apart = make_assets(folder="apart")
    theirs = make_onnx()
    (both / "theirs").mkdir()
    for file in (theirs / "theirs").iterdir():
        (both / "theirs" / file.name).write_bytes(file.read_bytes())
    name_in_submission(both, "theirs", alone=False)
    runs = {name: start(tmp_path / name, weights, contest) for name, weights in (("a", both), ("b", apart))}

    assert [run.finish() for run in runs.values()] == [0, 0], runs["a"].said()

    expected = (3 * table(runs["b"].out) + 2 * by_hand(contest)) / 5
    np.testing.assert_allclose(table(runs["a"].out), expected, rtol=0, atol=SAME)
    stop(runs)


def test_folds_that_are_onnx_files_share_batches_as_torch_folds_do(
    make_onnx: Weights,
    make_clips: Callable[..., Path],
    make_settings: SettingsMaker,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """After the first pass the other four answer each batch together; the mean of all is numpy's."""
    contest, scales = make_clips(), [SMALL * (1 + i) for i in range(5)]
    settings = make_settings(make_onnx([tagger(scale) for scale in scales]), contest, progress="lines")

    assert run_module.run(settings) == 0

    assert re.search(r"theirs/\d whole and [1-4] more: 12 clips done", capsys.readouterr().out)
    np.testing.assert_allclose(table(Path(settings.out)), by_hand(contest, scales), rtol=0, atol=SAME)


def workers_of(run: Started) -> list[psutil.Process]:
    """The engine's own children."""
    engines = [child for child in run.children.values() if child.is_running() and child.ppid() == run.process.pid]
    return engines[0].children() if engines else []


def test_worker_that_is_killed_amid_onnx_members_costs_no_answer(going: tuple[Started, Path]) -> None:
    """Another worker decodes what it had, and the answers are numpy's."""
    run, contest = going
    run.until(lambda: len(workers_of(run)) > 0)

    workers_of(run)[0].kill()

    assert run.finish() == 0, run.said()
    assert run.faults == []
    assert run.left_behind() == []
    np.testing.assert_allclose(table(run.out), by_hand(contest), rtol=0, atol=SAME)


def test_run_without_the_runtime_is_refused_with_what_to_attach_and_leaves_priors(
    make_onnx: Weights, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """An ONNX file without a runtime is named, with the way to one; the submission holds class priors."""
    run = start(tmp_path / "run", make_onnx(), make_clips(), **without_runtimes(tmp_path))

    assert run.finish() == 2, run.said()
    assert "member theirs/0 is an ONNX file, and no runtime for it is here" in run.said()
    assert "python build_kernel.py --with onnxruntime" in run.said()
    assert run.faults == []
    np.testing.assert_allclose(table(run.out), np.tile(TABLE["priors"], (12, 1)))


def test_runtime_that_is_forced_and_missing_is_refused(
    make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """Nobody who asked for a runtime gets torch in silence."""
    environment = without_runtimes(tmp_path)
    run = start(tmp_path / "run", make_assets(), make_clips((0.3,)), "--backend", "openvino", **environment)

    assert run.finish() == 2, run.said()
    assert re.search(r"--backend openvino: it is not here .* Attach the dataset", run.said()), run.said()


def test_torch_members_beside_an_onnx_member_without_runtime_answer_alone(
    make_onnx: Weights, make_assets: RecipeMaker, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """The member is left out and named; the others' answers are what they are without it."""
    contest, both, theirs = make_clips(), make_assets(folder="both"), make_onnx()
    (both / "theirs").mkdir()
    for file in (theirs / "theirs").iterdir():
        (both / "theirs" / file.name).write_bytes(file.read_bytes())
    name_in_submission(both, "theirs", alone=False)
    environment = without_runtimes(tmp_path)
    runs = {
        "a": start(tmp_path / "a", both, contest, **environment),
        "b": start(tmp_path / "b", make_assets(folder="apart"), contest),
    }

    assert [run.finish() for run in runs.values()] == [0, 0], runs["a"].said()

    assert "member skipped: theirs/0" in runs["a"].said()
    np.testing.assert_allclose(table(runs["a"].out), table(runs["b"].out), rtol=0, atol=SAME)
    stop(runs)


@pytest.fixture
def going(make_onnx: Weights, make_clips: Callable[..., Path], tmp_path: Path) -> Iterator[tuple[Started, Path]]:
    """A run of slow ONNX members, with the contest's folder."""
    contest = make_clips()
    run = start(tmp_path / "run", make_onnx((slow_tagger(SMALL), slow_tagger(2 * SMALL)), folder="slow"), contest)
    yield run, contest
    stop({"": run})


def test_engine_that_is_killed_amid_onnx_members_is_followed_by_one_that_goes_on(going: tuple[Started, Path]) -> None:
    """SIGKILL amid a pass costs seconds; the answers are numpy's, as without it."""
    run, contest = going
    run.until(lambda: bool(list((run.folder / "scratch").rglob("marks.npy"))))
    time.sleep(1.0)
    engine = next(child for child in run.children.values() if "soundpost.launch.engine_process" in child.cmdline())

    engine.kill()

    assert run.finish() == 0, run.said()
    assert "another one goes on where it stood" in run.said()
    assert run.faults == []
    assert run.left_behind() == []
    np.testing.assert_allclose(table(run.out), by_hand(contest), rtol=0, atol=SAME)


def test_time_limit_amid_onnx_members_is_kept_with_a_valid_file(
    make_onnx: Weights, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """A network that would take minutes ends before its limit, and what it has answered is in the file."""
    weights = make_onnx([slow_tagger(SMALL, products=150)] * 2)
    run = start(tmp_path / "run", weights, make_clips([0.5 + 0.1 * i for i in range(40)]), "--time-limit", "15s")

    assert run.finish() in (0, 3), run.said()
    assert "cut short by the deadline" in run.said()
    assert run.ended - run.began < 15
    assert run.faults == []
    assert run.left_behind() == []


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_memory_limit_with_onnx_members_is_refused_with_a_figure_and_kept_at_that_figure(
    make_onnx: Weights, make_clips: Callable[..., Path], tmp_path: Path, backend: str
) -> None:
    """The figure that a refusal names is a whole run that stays below it, runtime and graphs included."""
    weights, contest = make_onnx(), make_clips()
    refused = start(tmp_path / "refused", weights, contest, "--memory-limit", "100M", "--backend", backend)
    assert refused.finish() == 2, refused.said()
    named = int(re.search(r"below the ([\d,]+)M that", refused.said())[1].replace(",", ""))

    run = start(tmp_path / "run", weights, contest, "--memory-limit", f"{named}M", "--backend", backend)

    assert run.finish() == 0, run.said()
    assert "12 of 12 clips predicted" in run.said()
    peak, allowed = (
        int(figure.replace(",", ""))
        for figure in re.search(r"peak memory ([\d,]+) MB of ([\d,]+) MB allowed", run.said()).groups()
    )
    assert peak <= allowed == named


def test_answers_that_are_no_probabilities_cost_the_member_and_are_named_with_their_range(
    make_onnx: Weights, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """A recipe that was changed to activation = "none" after its import is refused at the first batch of the run."""
    weights = make_onnx()
    recipe = weights / "theirs" / "recipe.toml"
    recipe.write_text(tomli_w.dumps({**tomllib.loads(recipe.read_text()), "activation": "none"}))

    run = start(tmp_path / "run", weights, make_clips())

    assert run.finish() == 2, run.said()
    assert re.search(r'theirs/0: answers from -?[\d.]+ to -?[\d.]+ are no probabilities, .*"none"', run.said())


def test_dry_run_of_onnx_members_ends_in_a_verdict(
    make_onnx: Weights, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """They are measured and foretold as any pass is."""
    run = start(tmp_path / "run", make_onnx(), make_clips(), "--dry-run", "--time-limit", "10m")

    assert run.finish() == 0, run.said()
    assert re.search(r"verdict: (fits|does not fit)", run.said()), run.said()
    assert "theirs/0 whole" in run.said()


def test_onnx_member_beside_gpus_is_computed_on_the_cores(
    make_onnx: Weights,
    make_clips: Callable[..., Path],
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lanes are the GPUs', the network's memory is the host's, and the answers are numpy's."""
    stand_in(monkeypatch, *GPUS)
    contest = make_clips()
    settings = make_settings(make_onnx(), contest)

    assert run_module.run(settings) == 0

    np.testing.assert_allclose(table(Path(settings.out)), by_hand(contest), rtol=0, atol=SAME)


# ---------------------------------------------------------------- torch members with an exported graph
@pytest.fixture
def exported(make_assets: RecipeMaker) -> Path:
    """weights/ of three small compact folds, each with its exported graph beside it."""
    weights = make_assets()
    assets = find_assets(weights)
    (recipe,) = assets.submission.recipes
    path = weights / recipe.name / "recipe.toml"
    text = tomllib.loads(path.read_text())
    for member, entry in zip(recipe.members, text["members"], strict=True):
        file = path.parent / f"fold{member.fold}.onnx"
        file.write_bytes(export(recipe, member, assets.arrays(member)))
        entry["exported"] = {"file": file.name, "sha256": sha256_of(file)}
    path.write_text(tomli_w.dumps(text))
    return weights


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_exported_graph_is_taken_when_it_is_asked_for_and_gives_torch_s_answers(
    exported: Path, make_clips: Callable[..., Path], tmp_path: Path, backend: str
) -> None:
    """The log names the runtime with speed and difference for every member; no probability moves by 0.001."""
    contest = make_clips()
    options = ("--precision", "float32", "--backend")
    runs = {name: start(tmp_path / name, exported, contest, *options, name) for name in (backend, "torch")}

    assert [run.finish() for run in runs.values()] == [0, 0], runs[backend].said()

    said = runs[backend].said()
    for fold in (1, 2, 3):
        pattern = rf"tiny0/{fold}: {backend} taken in place of torch: [\d.]+ times as fast, probabilities within \S+"
        assert re.search(pattern, said), said
    assert "in place of torch" not in runs["torch"].said()
    np.testing.assert_allclose(table(runs[backend].out), table(runs["torch"].out), rtol=0, atol=1e-4)
    stop(runs)


def test_runtimes_are_measured_on_the_first_real_batch_where_nothing_is_forced(
    exported: Path, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """One line has the milliseconds of torch and of both runtimes."""
    run = start(tmp_path / "run", exported, make_clips())

    assert run.finish() == 0, run.said()
    pattern = r"one batch of \d windows: torch [\d.]+ ms, onnxruntime [\d.]+ ms, openvino [\d.]+ ms"
    assert len(re.findall(pattern, run.said())) == 1, run.said()


def test_exported_graph_that_was_altered_is_named_and_torch_answers(
    exported: Path, make_clips: Callable[..., Path], tmp_path: Path
) -> None:
    """Another file under its name is not computed; the member keeps its place by torch."""
    path = exported / "tiny0" / "fold1.onnx"
    path.write_bytes(path.read_bytes()[:-100])

    run = start(tmp_path / "run", exported, make_clips())

    assert run.finish() == 0, run.said()
    assert re.search(r"tiny0/1: torch alone computes it: .*fold1.onnx has sha256", run.said()), run.said()
    assert "12 of 12 clips predicted" in run.said()
