"""Every published way with noisy clips, from its plan to members: it trains, it hears what it should, it is deaf."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile
import torch
from small_plans import CLASSES, RATE, command, make_clips, small_plan
from trained import take_one_step

from soundpost.archive.pseudo_labels import main as pseudo_label
from soundpost.archive.table import METADATA, TOP_LABELS
from soundpost.errors import SettingsError
from soundpost.training.__main__ import main
from soundpost.training.clips import Clips, Source, read_clips
from soundpost.training.inputs.rows import Rows
from soundpost.training.noisy.choice import ChoiceOfNoisy
from soundpost.training.plan import plan_of
from soundpost.training.train import _Member
from soundpost.training.trainer import Hooks, Trainer

PROTOCOLS = {  # plan -> what its noisy clips go through
    "argus/corr_noisy_007": "maps of corrections, a loss for each set",
    "qrfaction/v1mix": "pre-training",
    "ex4sperans/2d_noisy": "rounds of agreement, each anew",
    "simongrest/six_folds": "the best of every label",
    "filipmu/resnet34": "poor classes",
    "seventh/custom": "warm-up on noisy clips and their copies",
}


def folds_of(out: Path) -> dict[str, list[str]]:
    """fold -> names of its clips, from what a training left."""
    with (out / "out_of_fold.csv").open(newline="") as file:
        rows = [(row["fold"], row["fname"]) for row in csv.DictReader(file)]
    return {fold: [name for own, name in rows if own == fold] for fold in sorted({fold for fold, _ in rows})}


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTOCOLS)
def test_member_of_a_protocol_is_deaf_to_its_fold(name: str, tmp_path: Path) -> None:
    """Other sounds in a member's fold change no byte of it, through corrections, selection, rounds and pre-training.

    Every stage keeps its last epoch: that a published stage keeps the epoch which scored best on the fold is the one
    way in which its members are not deaf, and is said in docs/training.md.
    """
    folder = make_clips(tmp_path)
    plan = small_plan(name, folder, keeps_last=True)
    assert main(command(plan, folder, "before")) == 0
    folds = folds_of(folder / "before")
    fold, others = next(iter(folds)), list(folds)[1:]
    noise = np.random.default_rng(5)
    for clip in folds[fold]:
        soundfile.write(folder / "curated" / clip, noise.uniform(-0.5, 0.5, 30000), RATE, subtype="PCM_16")

    assert main(command(plan, folder, "after", "--members-only")) == 0
    same, *changed = (
        (folder / "before" / f"fold{one}.safetensors").read_bytes()
        == (folder / "after" / f"fold{one}.safetensors").read_bytes()
        for one in [fold, *others]
    )
    assert same
    assert not any(changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_trains_as_published_and_goes_on_byte_for_byte(name: str, tmp_path: Path) -> None:
    """Best epochs, plateaus and stops as in the plan; paused by a limit after every member and stage."""
    folder = make_clips(tmp_path)
    plan = small_plan(name, folder)
    assert main(command(plan, folder, "whole")) == 0
    take_one_step(command(plan, folder, "parts"))
    for _ in range(200):
        assert main(command(plan, folder, "parts", "--limit", "0s")) == 0
        if (folder / "parts" / "recipe.toml").is_file():
            break
    for path in (folder / "whole").glob("*.safetensors"):
        assert path.read_bytes() == (folder / "parts" / path.name).read_bytes()


def heard_in(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str], np.ndarray]]:
    """Stage, sets and labels of what every stage of the first member hears, while a plan trains."""
    heard: list[tuple[str, list[str], np.ndarray]] = []
    own = _Member.material

    def material(member: _Member, stage: Any, *rest: Any) -> Any:
        found = own(member, stage, *rest)
        heard.append((stage.name, list(found.heard.sources), found.heard.truth))
        return found

    monkeypatch.setattr(_Member, "material", material)
    assert main(command(small_plan(name, folder), folder, "out", "--folds", "0", "--members-only")) == 0
    return heard


def test_argus_hears_corrected_noisy_clips_under_their_corrected_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six noisy clips are corrected, six are not; each belongs to its own set, whose loss is its own."""
    ((_, sources, truth),) = heard_in(make_clips(tmp_path), "argus/corr_noisy_007", monkeypatch)
    assert (sources.count("corrected"), sources.count("noisy"), sources.count("curated")) == (6, 6, 8)
    corrected = truth[[source == "corrected" for source in sources]]
    expected = [[1, 1, 0] if place % 2 == 0 else [0, 0, 1] for place in range(6)]
    assert corrected.tolist() == expected


def test_qrfaction_hears_noisy_clips_first_and_curated_ones_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of one set, then the other folds of the other."""
    first, second = heard_in(make_clips(tmp_path), "qrfaction/v1mix", monkeypatch)
    assert (first[0], set(first[1]), len(first[1])) == ("pre-training", {"noisy"}, 12)
    assert (second[0], set(second[1])) == ("fine-tuning", {"curated"})


def test_ex4sperans_hears_its_part_of_ever_more_noisy_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six stages; in every round half of the eight that agree best, of two members."""
    stages = heard_in(make_clips(tmp_path), "ex4sperans/2d_noisy", monkeypatch)
    assert [name for name, *_ in stages] == ["curated", *(f"round_{number}" for number in range(1, 6))]
    assert [sources.count("noisy") for _, sources, _ in stages] == [0, 4, 4, 4, 4, 4]


def test_simongrest_hears_noisy_clips_of_every_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of three labels is among them, in its second stage alone, and not all clips are."""
    first, second = heard_in(make_clips(tmp_path), "simongrest/six_folds", monkeypatch)
    assert set(first[1]) == {"curated"}
    noisy = second[2][[source == "noisy" for source in second[1]]]
    assert (noisy.sum(0) >= 1).all()
    assert 3 <= len(noisy) <= 9


def test_filipmu_hears_noisy_clips_of_one_poor_label_in_its_last_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six phases, noisy clips in two, each with exactly one label."""
    stages = heard_in(make_clips(tmp_path), "filipmu/resnet34", monkeypatch)
    assert [name for name, sources, _ in stages if "noisy" in sources] == ["noisy 5", "noisy 6"]
    for _, sources, truth in stages[-2:]:
        assert (truth[[source == "noisy" for source in sources]].sum(1) == 1).all()


def test_parts_of_a_selection_are_disjoint_and_cover_it() -> None:
    """As KFold deals them; each member hears one."""
    random = np.random.default_rng(1)
    truth = np.eye(4, dtype=np.float32)[random.integers(4, size=40)]
    answers = random.uniform(size=(40, 4))
    choice = ChoiceOfNoisy({"name": "agreement", "count": 17, "parts": 5}, "")
    whole = ChoiceOfNoisy({"name": "agreement", "count": 17}, "")(truth, answers, (truth, answers), 0).rows
    parts = [choice(truth, answers, (truth, answers), fold).rows for fold in range(5)]
    assert sorted(np.concatenate(parts).tolist()) == whole.tolist()
    assert {len(part) for part in parts} == {3, 4}
    few = ChoiceOfNoisy({"name": "agreement", "count": 3, "parts": 5}, "")
    with pytest.raises(SettingsError, match="3 noisy clips were selected, which are not 5 parts"):
        few(truth, answers, (truth, answers), 0)


def tags(folder: Path) -> Path:
    """An archive's table over the noisy clips, as `soundpost tag` writes it, and two stretches of one of them."""
    names = sorted(path.name for path in (folder / "noisy").iterdir())
    random = np.random.default_rng(2)
    table = pd.DataFrame(random.uniform(0.3, 0.9, (len(names), 3)), columns=list(CLASSES))
    table.insert(0, "id", [*names[:-1], f"{names[-2]}#t=0.1,0.4"])
    table["start"] = [None] * (len(names) - 1) + [0.1]
    table["end"] = [None] * (len(names) - 1) + [0.4]
    path = folder / "TAGS.parquet"
    assert TOP_LABELS not in table
    told = {METADATA: json.dumps({"labels": list(CLASSES)}).encode()}
    pyarrow.parquet.write_table(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(told), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PROTOCOLS if not name.startswith("argus")])
def test_pseudo_labels_are_taken_as_noisy_clips(name: str, tmp_path: Path) -> None:
    """From TAGS.parquet to a trained member, by every plan that takes noisy clips."""
    folder = make_clips(tmp_path)
    noisy = folder / "pseudo.csv"
    assert pseudo_label([str(tags(folder)), "--rule", "top=2,threshold=0.5", "--out", str(noisy)]) == 0
    words = command(small_plan(name, folder), folder, "out", "--folds", "0", "--members-only")
    words = [f"--noisy={noisy}:{folder / 'noisy'}" if word.startswith("--noisy") else word for word in words]
    assert main(words) == 0
    assert (folder / "out" / "fold0.safetensors").is_file()


def clips_of(folder: Path, noisy: Path, soft: bool = True) -> Clips:
    """What a plan with a noisy set reads."""
    sets = {"curated": {}, "noisy": {"of": "noisy", "heard": "all", "soft": soft}}
    plan = plan_of({"sets": sets, "folds": {"name": "kfold", "count": 2}}, "plan.toml")
    curated = Source(folder / "train_curated.csv", folder / "curated")
    return read_clips(plan, {"curated": curated, "noisy": Source(noisy, folder / "noisy")}, folder)


def test_scores_become_soft_labels_and_stretches_clips_of_their_own(tmp_path: Path) -> None:
    """Labels are as likely as the tagger said, unless the plan wants them certain; a stretch is read alone."""
    folder = make_clips(tmp_path)
    noisy = folder / "pseudo.csv"
    assert pseudo_label([str(tags(folder)), "--rule", "top=1", "--out", str(noisy)]) == 0
    clips = clips_of(folder, noisy)
    given = pd.read_csv(noisy, dtype=str, keep_default_na=False)
    rows = [row for row, source in enumerate(clips.sources) if source == "noisy"]
    assert clips.truth[rows].max(1).tolist() == pytest.approx([float(score) for score in given["scores"]])
    assert (np.count_nonzero(clips.truth[rows], axis=1) == 1).all()
    assert clips.stretches[rows[-1]] == pytest.approx((0.1, 0.3))
    assert set(clips.stretches[: rows[-1]]) == {None}
    certain = clips_of(folder, noisy, soft=False)
    assert set(np.unique(certain.truth)) == {0.0, 1.0}


BROKEN = [
    ("fname,labels,scores\nNAME,low,0.5 0.5\n", "line 2: could not convert string to float"),
    ('fname,labels,scores\nNAME,"low,high",0.5\n', "line 2: scores 0.5 for labels low,high. Give one for each"),
    ("fname,labels,scores\nNAME,low,1.5\n", "line 2: scores 1.5 for labels low. Give one for each, above 0"),
    ("fname,labels,start,end\nNAME,low,3,2\n", "line 2: from 3 to 2 s is no stretch. Give seconds."),
    ("fname,labels,start,end\nNAME,low,3,\n", "line 2: from 3 s to no end is no stretch. Give an end in seconds."),
    ("fname,labels,start,end\nNAME,low,0,2\nNAME,low,0,2\n", "line 3: a clip that stood in a line before"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_pseudo_labels_that_are_broken_are_refused_by_line(text: str, message: str, tmp_path: Path) -> None:
    """What does not go together is named."""
    folder = make_clips(tmp_path)
    noisy = folder / "pseudo.csv"
    noisy.write_text(text.replace("NAME", min(path.name for path in (folder / "noisy").iterdir())))
    with pytest.raises(SettingsError, match=re.escape(message)):
        clips_of(folder, noisy)


def test_held_out_clip_is_not_heard_as_a_pseudo_labelled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file named by another way, with another label: the fold's member does not hear it; the other does."""
    folder = make_clips(tmp_path)
    monkeypatch.chdir(folder)
    with (folder / "train_curated.csv").open(newline="") as file:
        names = [row["fname"] for row in csv.DictReader(file)]
    noisy = folder / "pseudo.csv"
    noisy.write_text("fname,labels\n" + "".join(f"../curated/{name},low\n" for name in names))
    clips = clips_of(Path(), Path("pseudo.csv"))
    for fold in clips.table.fold_names:
        heard = clips.heard_by(fold, ("noisy",))
        own = {name for name, known in zip(clips.table.files, clips.table.folds, strict=True) if known == fold}
        assert not {Path(clips.files[row]).name for row in heard} & own
        assert len(heard) == len(names) - len(own)


def test_stage_that_begins_anew_forgets_the_weights_and_keeps_the_selection() -> None:
    """The network of the second stage starts from other weights than the first ended with, the same at every call."""
    stages = [{"name": "one", "epochs": 1}, {"name": "two", "epochs": 1, "begin": "anew"}]
    optimiser = {"name": "sgd", "rate": 1e-9, "momentum": 0.9}
    plan = plan_of({"stages": stages, "optimiser": optimiser}, "plan")
    rows = Rows(np.ones((2, 1), np.float32), np.ones((2, 1), np.float32), 2)
    fresh = torch.nn.Linear(1, 1)

    def anew(stage: int) -> torch.nn.Module:
        assert stage == 1
        return fresh

    hooks = Hooks(lambda *given: rows, lambda *given: 1.0, fresh=anew)
    kept = Trainer(plan, torch.nn.Linear(1, 1), hooks, 0, "").run(None, "nothing")
    torch.testing.assert_close(kept.weight, fresh.weight, atol=1e-6, rtol=0)
