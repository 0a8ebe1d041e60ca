"""birdclef: rows and formats of seven contests, metrics, and the steps and blends of published systems."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from birdclef_inputs import check, made
from cases import GoldenSet, assert_close, golden

from soundpost.after import AFTER
from soundpost.after.columns import clip
from soundpost.after.frames import clip_frame, frame_line, overlap_average_max
from soundpost.after.priors import BIRDCLEF_2026, count_rates, shifted_logits, site_and_hour
from soundpost.after.ranks import blended_ranks, gated_by_ranks
from soundpost.after.table import Table, of_recordings
from soundpost.after.taxon_rank import MIRRORED, taxon_rank
from soundpost.contest.contest import Contest, read_contest
from soundpost.contest.grammar import count_windows
from soundpost.contest.settings import ContestSettings
from soundpost.contest.submission import write
from soundpost.ensemble.rules import BLENDS
from soundpost.evaluation.contest_metrics import (
    accuracy_of_classes,
    f1_of_rows,
    macro_roc_auc,
    padded_cmap,
    padded_precision_of_classes,
    roc_auc_of_classes,
    row_f1,
    weighted_accuracy,
)
from soundpost.evaluation.window_labels import read_window_labels
from soundpost.registry import pick

SHAPE_OF = {"wide": "wide_windows", "list": "window_labels", "boolean": "window_booleans"}
GATE_OF = {
    "GATE1_NOISE": "noise",
    "GATE2_TEMPORAL": "temporal",
    "GATE3_SPIKE": "spike",
    "GATE4_MIRROR": "mirror",
    "GATE5_RARE": "rare",
    "GATE6_STATION": "station",
    "GATE_SR": "richness",
}
SILVER_GATES = ("noise", "temporal", "spike", "mirror", "rare")


# ---------------------------------------------------------------- rows and formats
def contest_of(case: dict[str, Any], folder: Path) -> Contest:
    """The contest that the texts and the folder of a case describe."""
    test_dir, lengths = folder / "test_soundscapes", {}
    test_dir.mkdir()
    (folder / "sample_submission.csv").write_text(case["sample"])
    if case.get("test"):
        (folder / "test.csv").write_text(case["test"])
    for entry in case.get("folder", ()):
        (test_dir / entry["name"]).touch()
        lengths[entry["name"]] = (entry["samples"] or 0, entry["rate"] or 0)
    settings = ContestSettings(window_seconds=float(case.get("window", 0)))
    return read_contest(folder / "sample_submission.csv", test_dir, ("a",), settings, lambda path: lengths[path.name])


@pytest.mark.parametrize("learnt", [False, True], ids=["told", "learnt"])
@pytest.mark.parametrize(("place", "case"), golden("birdclef", "rows"))
def test_rows_of_birdclef_are_those_of_the_rule(
    place: GoldenSet, case: dict[str, Any], learnt: bool, tmp_path: Path
) -> None:
    """Shape, branch, columns, and id, file, start, end, audio and class of rows; the window told or learnt."""
    asked = {key: value for key, value in case.items() if not (learnt and key == "window")}
    contest, expected = contest_of(asked, tmp_path), case["expected"]
    assert SHAPE_OF[expected["format"]] == contest.shape
    assert expected["columns"] == list(contest.sample.header)
    assert contest.windows is not None
    found = {recording.name: recording for recording in contest.windows.recordings}
    rows = [
        [row.row_id, row.file, row.start, row.end, row.audio(found.get(row.file)), *([row.label] if row.label else [])]
        for row in contest.windows.rows.rows
    ]
    assert expected["branch"] == contest.windows.rows.branch
    assert expected.get("count", len(expected["rows"])) == len(rows)
    assert expected["rows"] == rows[: len(expected["rows"])]
    last = expected.get("last_rows", [])
    assert last == rows[len(rows) - len(last) :]


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "row_counts"))
def test_row_counts_of_birdclef_follow_the_tolerance(place: GoldenSet, case: dict[str, Any], tmp_path: Path) -> None:
    """The number of windows of a recording, alone in its folder, and whether its last one has all of its audio."""
    for number, row in enumerate(case["rows"]):
        folder = tmp_path / str(number)
        folder.mkdir()
        entry = {"name": "r.ogg", "samples": row["samples"], "rate": case["rate"]}
        contest = contest_of({**case, "folder": [entry]}, folder)
        assert contest.windows is not None
        rows = contest.windows.rows.rows
        assert row["windows"] == len(rows), row
        assert row["last"] == rows[-1].audio(contest.windows.recordings[0]), row
        assert not row["samples"] or row["windows"] == count_windows(row["samples"], case["rate"], case["window"])


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "format"))
def test_format_of_birdclef_is_written_as_published(place: GoldenSet, case: dict[str, Any], tmp_path: Path) -> None:
    """Lists with nocall, and True and False, byte for byte."""
    given = {key: value for key, value in case["settings"].items() if value is not None}
    settings = ContestSettings(shape=SHAPE_OF[case["format"]], **given)
    values, labels = made(case["input"], place), case["labels"]
    sample, header = tmp_path / "sample_submission.csv", case["expected"].splitlines()[0]
    sample.write_text("\n".join([header, *(f"{row_id},{labels[0]}" for row_id in case["row_ids"])]) + "\n")
    if case["format"] == "boolean":
        cells = [[row_id, *row_id.replace("_", "\0").rsplit("\0", 2)] for row_id in case["row_ids"]]
        rows = [f"{row_id},{stem.replace(chr(0), '_')},{bird},{end}" for row_id, stem, bird, end in cells]
        (tmp_path / "test.csv").write_text("\n".join(["row_id,file_id,bird,end_time", *rows]) + "\n")
    contest = read_contest(sample, tmp_path / "none", labels, settings)
    order = [labels.index(column) for column in contest.sample.columns]
    write(tmp_path / "submission.csv", contest.sample, values[:, order].tolist())
    assert case["expected"] == (tmp_path / "submission.csv").read_text()


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "class_names"))
def test_class_names_of_birdclef_stay_text(place: GoldenSet, case: dict[str, Any], tmp_path: Path) -> None:
    """Columns that look like numbers or missing values, and labels, come back as they stood."""
    contest = contest_of(case, tmp_path)
    assert case["expected"] == list(contest.sample.columns)
    write(tmp_path / "submission.csv", contest.sample, [[0.5] * len(case["expected"])] * len(contest.sample.names))
    with (tmp_path / "submission.csv").open(newline="") as file:
        assert ["row_id", *case["expected"]] == next(csv.reader(file))
    (tmp_path / "labels.csv").write_text(case["labels_csv"])
    labels = read_window_labels(tmp_path / "labels.csv")
    assert case["labels"] == [[row_id, list(names)] for row_id, names in labels.items()]


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "file_names"))
def test_file_names_of_birdclef_tell_site_and_hour(place: GoldenSet, case: dict[str, Any]) -> None:
    """Site and hour, or unknown and -1."""
    for entry in case["expected"]:
        assert (entry["site"], entry["hour_utc"]) == site_and_hour(entry["name"], BIRDCLEF_2026)


# ---------------------------------------------------------------- metrics
@pytest.mark.parametrize(("place", "case"), golden("birdclef", "metric"))
def test_metric_of_birdclef_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """The score, and that of every class or row."""
    atol = case["atol"]
    if case["metric"] == "row_f1":
        truth, answers = ([row[key] for row in case["rows"]] for key in ("truth", "answer"))
        assert [row["f1"] for row in case["rows"]] == pytest.approx(f1_of_rows(truth, answers), abs=atol)
        assert case["mean"] == pytest.approx(row_f1(truth, answers), abs=atol)
        return
    entries = case.get("input", case)
    truth, answer = (
        place.expected(entries[key]) if isinstance(entries[key], dict) else np.array(entries[key])
        for key in ("truth", "answer")
    )
    score, of_classes = {
        "weighted_accuracy": (weighted_accuracy, accuracy_of_classes),
        "padded_cmap": (padded_cmap, padded_precision_of_classes),
        "macro_auc": (macro_roc_auc, roc_auc_of_classes),
    }[case["metric"]]
    assert case["value"] == pytest.approx(score(truth, answer), abs=atol)
    expected, values = case.get("per_class", case.get("per_bird", [])), of_classes(truth, answer)
    if isinstance(expected, dict):
        places = {int(name.lstrip("c")): number for name, number in expected.items()}
        assert set(places) == set(np.flatnonzero(~np.isnan(values)).tolist())
        assert [values[i] for i in places] == pytest.approx(list(places.values()), abs=atol)
    elif expected:
        assert expected == pytest.approx(values.tolist(), abs=atol)


# ---------------------------------------------------------------- steps
def table_of(case: dict[str, Any], place: GoldenSet) -> Table:
    """The table that the input of a step describes."""
    source = case["input"]
    values = made(source, place)
    check(source, values)
    files = source.get("files", 1)
    if source.get("then") == "rows of the first file, class 0, set to 0":
        values[: len(values) // files, 0] = 0
    recordings = of_recordings(files, source.get("windows", len(values) // files))
    names = (source["file"],) if "file" in source else tuple(f"r{i}.ogg" for i in range(files))
    return Table(values, recordings, names, tuple(f"c{i}" for i in range(values.shape[1])))


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "post"))
def test_step_of_birdclef_gives_the_published_table(place: GoldenSet, case: dict[str, Any]) -> None:
    """Every step by its name in AFTER, with the settings of the case."""
    table, step = table_of(case, place), case["step"]
    if step == "site_hour_prior":  # the case begins and ends with logits
        is_alone = case["settings"].get("part") == "prior logits alone"
        actual = prior_logits(case, place, np.zeros_like(table.values) if is_alone else table.values)
    else:
        known = pick(AFTER, step, "after step").__code__.co_varnames
        settings = {key: value for key, value in case["settings"].items() if key in known}
        left = set(case["settings"]) - set(settings)
        assert left <= {"windows", "hour", "scope", "ends", "case", "clip"}, left
        assert case["settings"].get("ends", "nearest") in ("nearest", settings.get("ends"))
        if settings.get("ends") == "repeat":
            settings["ends"] = "own"
        actual = pick(AFTER, step, "after step")(table, **settings)
        if case["settings"].get("clip"):
            actual = clip(table.with_values(actual))
    assert_close(place.expected(case["expected"]), actual, case["atol"], case["id"])


def prior_logits(case: dict[str, Any], place: GoldenSet, logits: np.ndarray) -> np.ndarray:
    source, settings = case["input"], case["settings"]
    labels = made(source["train_labels"], place)
    rates = count_rates(source["train_sites"], source["train_hours"], labels, settings["hour_sigma"])
    priors = [rates.prior(site, hour) for site, hour in zip(source["sites"], source["hours"], strict=True)]
    return shifted_logits(logits, np.stack(priors), settings["strength"])


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "prior_tables"))
def test_prior_tables_of_birdclef_are_the_published_ones(place: GoldenSet, case: dict[str, Any]) -> None:
    """Rates and counts by site, by hour smoothed around the clock, and by both."""
    source, order, atol = case["input"], case["order"], case["atol"]
    rates = count_rates(source["train_sites"], source["train_hours"], made(source["train_labels"], place))
    pairs = [(site, hour) for site, hour in order["site_hours"]]
    assert_close(place.expected(case["expected"]["global_p"]), rates.overall, atol, "overall")
    for name, known, keys in (
        ("site", rates.site, order["sites"]),
        ("hour", rates.hour, order["hours"]),
        ("sh", rates.site_hour, pairs),
    ):
        assert list(known) == keys
        expected = place.expected(case["expected"][f"{name}_p"])
        assert_close(expected, np.stack([known[key].rates for key in keys]), atol, name)
        counts = place.expected(case["expected"][f"{name}_n"])
        assert_close(counts, np.array([known[key].n for key in keys]), atol, f"{name} counts")


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "frames"))
def test_frames_of_birdclef_become_the_published_rows(place: GoldenSet, case: dict[str, Any]) -> None:
    """Overlapping windows on one line, rows of a line with and without attention, clip and frames mixed."""
    source, settings = case["input"], case["settings"]
    if case["step"] == "clip_frame":
        weights = (settings["clip"], settings["frame_maximum"])
        actual = clip_frame(made(source["clip"], place), made(source["frame"], place), weights, settings["space"])
    else:
        frames = made(source, place)
        check(source, frames)
        if case["step"] == "overlap_average_max":
            actual = overlap_average_max(frames, settings["per_window"])
        else:
            name = source.get("attention")
            asked = {"rule": "normal", "name": "frame_line/attention", "shape": source["shape"]}
            attention = np.tanh(made(asked, place)) if name else None
            rate, pad = settings["frames_per_second"], settings["pad"]
            starts = source["window_starts_s"]
            actual = frame_line(frames, starts, rate, settings["window"], settings["seconds"], attention, pad)
    assert_close(place.expected(case["expected"]), actual, case["atol"], case["id"])


# ---------------------------------------------------------------- blends
@pytest.mark.parametrize(("place", "case"), golden("birdclef", "blend"))
def test_blend_of_birdclef_is_the_published_one(place: GoldenSet, case: dict[str, Any]) -> None:
    """Means, and blends by rank down the columns over all rows of all files."""
    source, settings, rule = case["input"], case["settings"], case["rule"]
    members = made(source, place)
    check({**source, "check": source["check"]} if "then" not in source else {}, members)
    if source.get("then") == "x[0, :3, 0] = x[0, 3, 0]":
        members[0, :3, 0] = members[0, 3, 0]
        check(source, members)
    shares = settings.get("weights", [1.0] * len(members))
    weights = np.repeat(np.array(shares)[:, None] / sum(shares), members.shape[1], axis=1)
    if rule in ("rank", "rank_from_0", "rank_maximum"):
        chosen = members[:2] if settings.get("members") == "first two" else members
        ties = {"rank": "mean", "rank_from_0": "from_0", "rank_maximum": "maximum"}[rule]
        actual = blended_ranks(list(chosen), settings.get("weights", ()), ties)
    elif rule == "rank_gate":
        actual = gated_by_ranks(list(members[:-1]), members[-1], settings["floor"])
    else:
        name, options = {
            "mean": ("mean", {}),
            "weighted_mean": ("mean", {}),
            "root_mean_square": ("power", {"exponent": 2.0}),
            "half_geometric_half_rms": ("half_geometric_half_rms", {}),
            "logit_mean": ("logit", {"smallest": settings.get("eps")}),
        }[rule]
        actual = BLENDS[name](list(members), weights, **options)
    assert_close(place.expected(case["expected"]), actual, case["atol"], case["id"])


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "blend_gates"))
def test_gates_of_birdclef_give_the_published_table(place: GoldenSet, case: dict[str, Any]) -> None:
    """Ranks weighed by taxon, with every gate alone and all together."""
    source = case["input"]
    if "like" in source:
        source = {**next(c for c in place.table["cases"] if c["id"] == source["like"])["input"], **source}
    names = source["members"] if isinstance(source["members"], list) else list(source["members"])
    rules = next(c for c in place.table["cases"] if c["id"].endswith("blend_alone"))["input"]
    values = {name: made(rules["members"][name], place) for name in names}
    assert rules["then"] == "perch: rows [::5] replaced by their square root"
    values["perch"][::5] = np.sqrt(values["perch"][::5])
    stems = [row_id.rsplit("_", 1)[0] for row_id in source["row_ids"]]
    files = tuple(dict.fromkeys(stems))
    recordings = tuple(np.flatnonzero(np.array(stems) == stem) for stem in files)
    labels = tuple(source["labels"])
    table = Table(values["perch"], recordings, tuple(f"{stem}.ogg" for stem in files), labels, values)
    if case["rule"] == "taxon_rank":
        gates = [GATE_OF[gate] for gate in case["settings"]["gates"]]
        actual = taxon_rank(table, source["weights"], source["anchor"], source["taxa"], gates)
    else:
        weights = case["settings"]["weights"]
        actual = taxon_rank(table, weights, "perch", source["taxa"], SILVER_GATES, quiet_below=0.12, mirrored=MIRRORED)
    assert_close(place.expected(case["expected"]), actual, case["atol"], case["id"])
