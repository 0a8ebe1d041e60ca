"""One session of a training kernel: where it finds clips, what it takes over, which folds travel, how it is asked."""

import csv
import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from soundpost.ensemble.toml_text import toml_text
from soundpost.ensemble.weights_file import sha256_of
from soundpost.errors import SettingsError
from soundpost.evaluation.dataset import read_frame
from soundpost.training.clips import Source, read_clips
from soundpost.training.plan import Plan, plan_of
from soundpost.training.session import main as session_main
from soundpost.training.session.earlier import take_over
from soundpost.training.session.ending import leave, mark
from soundpost.training.session.mounts import LAYOUTS, Layout, find_places
from soundpost.training.session.options import parse
from soundpost.training.session.session import Found, Session
from soundpost.training.session.tables import folds_of, folds_text, plain_csv

STRATIFIED = {"folds": {"name": "multilabel_stratified", "count": 2, "seed": 7}}


def write_csv(path: Path, *rows: list[object]) -> Path:
    """A csv, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


# ------------------------------------------------------------ where the clips are


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
@pytest.mark.parametrize("mount", ["{slug}", "competitions/{slug}", "datasets/somebody/{slug}"])
@pytest.mark.parametrize("deeper", [False, True])
def test_known_data_sets_are_found_in_both_layouts(tmp_path: Path, layout: Layout, mount: str, deeper: bool) -> None:
    """As a competition, as a dataset, and where an upload was unpacked a folder deeper."""
    home = tmp_path / mount.format(slug="some-sounds")
    for csv_name, folder in {layout.curated, layout.noisy}:
        write_csv(home / csv_name, ["fname", "labels"])
        (home / folder / (Path(folder).name if deeper else "")).mkdir(parents=True)
    (tmp_path / "another" / "data").mkdir(parents=True)

    places = find_places(tmp_path, "some-sounds", {})
    for name, (csv_name, folder) in (("curated", layout.curated), ("noisy", layout.noisy)):
        assert places[name].csv == home / csv_name
        assert places[name].folder == home / folder / (Path(folder).name if deeper else "")


def test_clips_are_found_by_the_names_that_are_given(tmp_path: Path) -> None:
    """From whatever folder of the mount holds both."""
    home = tmp_path / "datasets" / "me" / "birds" / "v2"
    write_csv(home / "meta" / "all.csv", ["fname", "labels"])
    (home / "wav").mkdir()

    places = find_places(tmp_path, "", {"curated": "meta/all.csv:wav"})
    assert places["curated"].csv == home / "meta" / "all.csv"
    assert places["curated"].folder == home / "wav"
    with pytest.raises(SettingsError, match=r"--noisy x\.csv:wav: no folder under .* holds both"):
        find_places(tmp_path, "", {"noisy": "x.csv:wav"})
    with pytest.raises(SettingsError, match="--noisy wav: a csv and a folder with a colon between"):
        find_places(tmp_path, "", {"noisy": "wav"})


def test_mount_without_clips_lists_what_was_looked_for(tmp_path: Path) -> None:
    """And how to name them."""
    with pytest.raises(SettingsError, match=r"looked for train_curated\.csv beside train_curated; .*curated = CSV:DIR"):
        find_places(tmp_path, "", {})


def test_fsdkaggle2018_is_split_by_what_was_verified_where_a_plan_has_noisy_clips(tmp_path: Path) -> None:
    """In a plan without noisy clips all of them are curated."""
    rows = [["a.wav", "Bark", 1], ["b.wav", "Rain", 0], ["c.wav", "Rain", 1]]
    table = write_csv(tmp_path / "train.csv", ["fname", "label", "manually_verified"], *rows)
    both, alone = Plan(sets={"curated": {}, "noisy": {"of": "noisy"}}), Plan()

    assert list(read_frame(plain_csv(table, "curated", both, tmp_path / "made"))["fname"]) == ["a.wav", "c.wav"]
    noisy = read_frame(plain_csv(table, "noisy", both, tmp_path / "made"))
    assert noisy.to_dict("list") == {"fname": ["b.wav"], "labels": ["Rain"]}
    assert len(read_frame(plain_csv(table, "curated", alone, tmp_path / "made"))) == 3
    plain = write_csv(tmp_path / "labels.csv", ["fname", "labels"], ["a.wav", "Bark"])
    assert plain_csv(plain, "curated", both, tmp_path / "made") == plain


# ------------------------------------------------------------ folds as text


def test_folds_that_travel_are_those_of_the_rule(tmp_path: Path) -> None:
    """Read in the kernel, they give every clip the fold that the rule gives it here, and the same training."""
    names = [f"{number}.wav" for number in range(50)]
    rows = [[name, "Bark" if number % 3 else "Rain,Bark"] for number, name in enumerate(names)]
    table = write_csv(tmp_path / "curated.csv", ["fname", "labels"], *rows)
    (tmp_path / "clips").mkdir()
    for name in names:
        (tmp_path / "clips" / name).touch()
    plan = plan_of(STRATIFIED, "plan")

    text = folds_text(plan, table)
    dealt = read_clips(plan, {"curated": Source(table, tmp_path / "clips")}, tmp_path)
    known = Source(table, tmp_path / "clips", folds_of(text, table))
    told = read_clips(plan, {"curated": known}, tmp_path)
    assert told.folds == dealt.folds
    assert set(told.folds) == {"0", "1"}


def test_folds_of_another_csv_are_refused(tmp_path: Path) -> None:
    """A clip more or less would shift all others."""
    table = write_csv(tmp_path / "a.csv", ["fname", "labels"], ["a.wav", "Bark"], ["b.wav", "Rain"])
    text = folds_text(plan_of({"folds": {"name": "kfold", "count": 2}}, "plan"), table)
    other = write_csv(tmp_path / "b.csv", ["fname", "labels"], ["b.wav", "Rain"])
    with pytest.raises(SettingsError, match=r"\(1 here, 2 there\)\. Build the kernel again with --folds-from"):
        folds_of(text, other)


def test_clips_without_a_fold_stay_without_one(tmp_path: Path) -> None:
    """As where a fifth is held out and the rest belongs to no fold."""
    rows = [[f"{number}.wav", "Bark"] for number in range(10)]
    table = write_csv(tmp_path / "a.csv", ["fname", "labels"], *rows)
    folds = folds_of(folds_text(plan_of({"folds": {"name": "held_out"}}, "plan"), table), table)
    assert sorted(folds) == [""] * 8 + ["0"] * 2


# ------------------------------------------------------------ what earlier sessions left


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """An output of session 3 in the newer layout: a finished member, a checkpoint, and another plan's folder."""
    folder = tmp_path / "input" / "notebooks" / "me" / "train"
    plan = folder / "weights" / "birds"
    plan.mkdir(parents=True)
    save_file({"w": np.ones(3)}, plan / "fold0.safetensors")
    member = {"fold": "0", "file": "fold0.safetensors", "sha256": sha256_of(plan / "fold0.safetensors")}
    (plan / "recipe.toml").write_text(toml_text({"members": [member]}))
    (plan / "fold1.checkpoint").write_bytes(b"checkpoint")
    (plan / "fold2.part").write_bytes(b"half")
    (folder / "weights" / "old").mkdir()
    (folder / "weights" / "old" / "recipe.toml").write_text("format = 1\n")
    mark(folder, 3, {"ended": "well"})
    return folder


def names(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_earlier_output_is_taken_over_whole(tmp_path: Path, earlier: Path) -> None:
    """Other plans' files too, as the next session sees this one's output alone; nothing half written."""
    for path in earlier.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    said: list[str] = []

    assert take_over(tmp_path / "input", tmp_path / "out", said.append) == 3
    assert names(tmp_path / "out") == [
        "weights/birds/fold0.safetensors",
        "weights/birds/fold1.checkpoint",
        "weights/birds/recipe.toml",
        "weights/old/recipe.toml",
    ]
    assert said[0].startswith(f"goes on from {earlier}, session 3: 4 of 5 files")
    (tmp_path / "out" / "weights" / "birds" / "fold1.checkpoint").write_bytes(b"newer")


def test_what_lies_in_the_working_folder_is_newer_and_stays(tmp_path: Path, earlier: Path) -> None:
    """A session that is started again in the same folder loses nothing."""
    own = tmp_path / "out" / "weights" / "birds" / "fold1.checkpoint"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"newer")
    take_over(tmp_path / "input", tmp_path / "out", lambda text: None)
    assert own.read_bytes() == b"newer"


def test_latest_of_several_outputs_comes_first(tmp_path: Path, earlier: Path) -> None:
    """Attached twice, in both layouts; what only the older one has is taken over as well."""
    older = tmp_path / "input" / "train-old"
    shutil.copytree(earlier, older)
    mark(older, 2)
    (older / "weights" / "birds" / "fold1.checkpoint").write_bytes(b"older")
    (older / "weights" / "birds" / "history_0.csv").write_bytes(b"kept")

    assert take_over(tmp_path / "input", tmp_path / "out", lambda text: None) == 3
    birds = tmp_path / "out" / "weights" / "birds"
    assert (birds / "fold1.checkpoint").read_bytes() == b"checkpoint"
    assert (birds / "history_0.csv").read_bytes() == b"kept"


def test_damaged_member_of_an_earlier_output_is_named_and_left(tmp_path: Path, earlier: Path) -> None:
    """Its recipe knows its sha256."""
    member = earlier / "weights" / "birds" / "fold0.safetensors"
    data = bytearray(member.read_bytes())
    data[-1] ^= 1
    member.write_bytes(data)
    said: list[str] = []

    take_over(tmp_path / "input", tmp_path / "out", said.append)
    assert said[0] == f"warning: {member} is damaged: its sha256 is not the recipe's. The member is trained again."
    assert not (tmp_path / "out" / "weights" / "birds" / "fold0.safetensors").exists()


def test_folder_with_another_programs_session_json_is_not_taken_over(tmp_path: Path) -> None:
    """A name alone proves nothing."""
    for name, text in (("a", "{}"), ("b", "no json"), ("c", '{"kind": "other", "session": 4}')):
        (tmp_path / "input" / name / "weights").mkdir(parents=True)
        (tmp_path / "input" / name / "session.json").write_text(text)
        (tmp_path / "input" / name / "weights" / "file").touch()
    assert take_over(tmp_path / "input", tmp_path / "out", lambda text: None) == 0
    assert names(tmp_path / "input") != []
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------ when it ends with an error


def test_session_with_nothing_mounted_ends_with_an_error_so_that_nothing_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that ends well becomes the newest output; this one would be empty. The push knows the words."""
    (tmp_path / "input").mkdir()
    words = ["--input-root", str(tmp_path / "input"), "--out", str(tmp_path / "out")]
    assert session_main.main(words, {}) == 2
    said = capsys.readouterr().out
    assert f"error: {tmp_path / 'input'} is empty: no sample_submission.csv there." in said
    assert not (tmp_path / "out" / "session.json").exists()


def test_session_without_room_for_the_earlier_output_ends_with_an_error(
    tmp_path: Path, earlier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file stands where a folder is needed, as nothing can be written on a full disk."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "weights").touch()
    words = ["--input-root", str(tmp_path / "input"), "--out", str(tmp_path / "out")]
    assert session_main.main(words, {}) == 2
    assert "so that the earlier output stays the newest" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit", "soon"], "--limit soon is no duration"),
        (["--save-every", "1"], "--save-every 1 is no duration"),
        (["--epochs", "-1"], "--epochs -1: at least 1 is needed"),
    ],
)
def test_session_asked_for_nonsense_is_refused_at_once(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the value and what to write instead."""
    assert session_main.main([*words, "--out", str(tmp_path)], {}) == 2
    assert said in capsys.readouterr().out


def test_settings_block_names_options_and_the_command_line_comes_first() -> None:
    """As in every kernel; an unknown name is refused with the nearest one."""
    options = parse(["--seed", "5"], {"limit": "2h", "seed": 3, "folds": None}, "train_kernel.py")
    assert (options.limit, options.seed, options.folds) == ("2h", 5, "")
    with pytest.raises(SettingsError, match=r"SETTINGS: --limti is no option \(did you mean --limit\?\)"):
        parse([], {"limti": "2h"}, "train_kernel.py")


def test_end_of_a_session_that_could_not_even_look_says_why(tmp_path: Path) -> None:
    """Nothing is called missing that nobody knows of, and nothing done."""
    session = Session(str(tmp_path / "plans"), str(tmp_path), str(tmp_path), "")
    assert leave(session, 2, None, {}, "the first look ended with status -9") == [
        "done: 0 of 1 (none); missing: the first look; next: correct this and push again: the first look ended with "
        "status -9"
    ]


def test_end_of_a_session_with_everything_done_names_what_to_build(tmp_path: Path) -> None:
    """And leaves a submission of the recipes that are there, which the build takes."""
    session = Session(str(tmp_path / "plans"), str(tmp_path), str(tmp_path), "")
    for plan in ("a", "b"):
        session.folder(plan).mkdir(parents=True)
        (session.folder(plan) / "fold0.safetensors").touch()
        (session.folder(plan) / "recipe.toml").touch()
    (last,) = leave(session, 2, Found(("cpu",), {"a": ("0",), "b": ("0",)}, (), {}), {}, "")
    assert last.startswith("done: 2 of 2 (a/0, b/0); missing: nothing; next: fetch the output")
    submission = tomllib.loads((tmp_path / "weights" / "submission.toml").read_text())
    assert submission == {"format": 1, "blend": "mean", "recipes": ["a", "b"]}


def test_mark_tells_of_a_session_that_did_not_end(tmp_path: Path) -> None:
    """It is written before training begins, too."""
    mark(tmp_path, 2)
    assert json.loads((tmp_path / "session.json").read_text())["ended"] == "not yet"
