"""Metadata that Kaggle's client takes, and pushes by the real client against a stub on loopback."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from followed import only_world
from kaggle_stub import Stub

from soundpost.errors import SettingsError
from soundpost.kernel import push
from soundpost.kernel.command import main as build_kernel
from soundpost.kernel.metadata import (
    ACCELERATORS,
    competition_slug,
    dataset_metadata,
    kernel_metadata,
    slug,
    source_names,
    title_for,
)
from soundpost.kernel.push import Answer, PushError, contents, main

ROOT = Path(__file__).resolve().parents[2]
COMPETITION = "freesound-audio-tagging-2019"
TITLES = ("Soundpost freesound audio tagging 2019", "A-b 12 c", "Plain", "UPPER lower 3-4")


@pytest.fixture
def kaggle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """The real client's whole world, for this process and its children."""
    with only_world(tmp_path, monkeypatch) as stub:
        yield stub


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A kernel and, beside it, a dataset of two weight files."""
    folder = tmp_path / "dist"
    (folder / "kernel").mkdir(parents=True)
    (folder / "kernel" / "kernel.py").write_text("print('hello')\n")
    weights = dataset_metadata("somebody", "Soundpost weights")
    _write(folder / "kernel" / "kernel-metadata.json", kernel_metadata(
        "somebody", "Soundpost freesound", COMPETITION, [weights["id"]], "kernel.py", "script"
    ))  # fmt: skip
    (folder / "weights-dataset").mkdir()
    for name in ("big-1", "big-2"):
        (folder / "weights-dataset" / f"{name}.safetensors").write_bytes(name.encode() * 100)
    _write(folder / "weights-dataset" / "dataset-metadata.json", weights)
    return folder


def _write(path: Path, table: dict[str, object]) -> None:
    path.write_text(json.dumps(table))


def _kernel_alone(dist: Path) -> Path:
    for path in (dist / "weights-dataset").iterdir():
        path.unlink()
    return dist


def _push(folder: Path) -> list[str]:
    """The lines of the log; waiting takes no time."""
    said: list[str] = []
    seconds = iter(range(10**6))
    push.push(folder, said.append, sleep=lambda _: None, clock=lambda: float(next(seconds)))
    return said


# ------------------------------------------------------------ the client itself


def test_push_script_sends_source_and_settings(kaggle: Stub, dist: Path) -> None:
    """One request holds the whole kernel: private, two T4, internet off, contest and weights attached."""
    said = _push(_kernel_alone(dist))

    (request,) = kaggle.requests
    assert request.authorised
    assert request.path == "http://localhost/api/v1/kernels.KernelsApiService/SaveKernel"
    assert request.json() == {
        "slug": "somebody/soundpost-freesound",
        "newTitle": "Soundpost freesound",
        "text": "print('hello')\n",
        "language": "python",
        "kernelType": "script",
        "isPrivate": True,
        "enableGpu": True,
        "enableTpu": False,
        "enableInternet": False,
        "machineShape": "NvidiaTeslaT4",
        "datasetDataSources": ["somebody/soundpost-weights"],
        "competitionDataSources": [COMPETITION],
    }
    assert "Kernel version 1 successfully pushed" in said[-1]


def test_push_notebook_sends_cells_without_outputs(kaggle: Stub, dist: Path) -> None:
    """A notebook travels as the text of its JSON, with outputs dropped."""
    cells = [
        {"cell_type": "code", "metadata": {}, "outputs": [{"text": "old"}], "source": ["print(1)\n", "print(2)\n"]}
    ]
    _write(dist / "kernel" / "kernel.ipynb", {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    _write(dist / "kernel" / "kernel-metadata.json", kernel_metadata(
        "somebody", "Soundpost freesound", COMPETITION, [], "kernel.ipynb", "notebook"
    ))  # fmt: skip

    _push(_kernel_alone(dist))

    body = kaggle.requests[0].json()
    (cell,) = json.loads(body["text"])["cells"]
    assert body["kernelType"] == "notebook"
    assert (cell["source"], cell["outputs"]) == ("print(1)\nprint(2)\n", [])
    assert "datasetDataSources" not in body


def test_push_new_dataset_is_created_and_waited_for_before_the_kernel(kaggle: Stub, dist: Path) -> None:
    """Weights go first, file by file, and the kernel only when they can be mounted."""
    kaggle.polls_until_ready = 3

    said = _push(dist)

    order = [request.name for request in kaggle.requests if request.name not in ("GetDatasetStatus", "GetDataset")]
    uploads = sorted(name for name in order if name.endswith(".safetensors"))
    assert uploads == ["big-1.safetensors", "big-2.safetensors"]
    assert order[-2:] == ["CreateDataset", "SaveKernel"]
    created = kaggle.named("CreateDataset")[0].json()
    assert {file["token"] for file in created.pop("files")} == {f"token of {name}" for name in uploads}
    assert created == {
        "ownerSlug": "somebody",
        "slug": "soundpost-weights",
        "title": "Soundpost weights",
        "licenseName": "other",
        "isPrivate": True,
    }
    assert "the dataset somebody/soundpost-weights is ready, version 1" in said


def test_push_uploads_the_bytes_of_the_weights_without_credentials(kaggle: Stub, dist: Path) -> None:
    """What is put is the file, byte for byte; the address it is put to gets no password."""
    _push(dist)

    (started, put) = (kaggle.named("StartBlobUpload"), kaggle.named("big-1.safetensors"))
    assert {request.json()["contentLength"] for request in started} == {500}
    assert [(request.method, request.body, request.authorised) for request in put] == [("PUT", b"big-1" * 100, False)]


def test_push_known_dataset_gets_a_version(kaggle: Stub, dist: Path) -> None:
    """The second push of weights is a new version, and the wait is for that one, not for the old."""
    kaggle.versions["somebody/soundpost-weights"] = 4

    said = _push(dist)

    body = kaggle.named("CreateDatasetVersion")[0].json()
    assert (body["ownerSlug"], body["datasetSlug"]) == ("somebody", "soundpost-weights")
    assert body["body"]["versionNotes"] == "2 weight files"
    assert len(body["body"]["files"]) == 2
    assert "the dataset somebody/soundpost-weights is ready, version 5" in said


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": "Maximum batch GPU session count of 2 reached."}, "Maximum batch GPU session count of 2 reached"),
        ({"code": 400, "message": "The kernel source must be less than 1 megabytes"}, "must be less than 1 megabytes"),
        ({"versionNumber": 1, "invalidDatasetSources": ["somebody/soundpost-weights"]}, "without some of its sources"),
        ({"versionNumber": 1, "invalidCompetitionSources": [COMPETITION]}, "accept its rules"),
    ],
)
def test_push_refused_kernel_is_reported_as_refused(
    kaggle: Stub, dist: Path, answer: dict[str, object], words: str
) -> None:
    """Kaggle's words reach the person, also where the client prints them and ends with status 0."""
    kaggle.kernel_answer = answer

    with pytest.raises(PushError, match=words):
        _push(_kernel_alone(dist))


def test_push_refused_dataset_keeps_the_kernel_back(kaggle: Stub, dist: Path) -> None:
    """A kernel without its weights would fail in an hour, so it is not sent."""
    kaggle.dataset_answer = {"status": "error", "error": "The quota is used up."}

    with pytest.raises(PushError, match=r"soundpost-weights was refused: .*The quota is used up"):
        _push(dist)
    assert kaggle.named("SaveKernel") == []


def test_push_from_the_command_line_shows_what_is_sent(
    kaggle: Stub, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0 and the client's line at the end; before it every file with its size."""
    status = main([str(_kernel_alone(dist)), "--yes"])

    printed = capsys.readouterr().out
    assert status == 0, printed
    assert "kernel somebody/soundpost-freesound, script, private, internet off, NvidiaTeslaT4" in printed
    assert "kernel.py  15 bytes" in printed


def test_push_refused_on_the_command_line_ends_with_status_2(
    kaggle: Stub, dist: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The client ends with 0 here; the push does not."""
    kaggle.kernel_answer = {"error": "Kernel not found"}

    assert main([str(_kernel_alone(dist)), "--yes"]) == 2
    assert "error: the kernel was refused" in capsys.readouterr().err


def test_push_not_confirmed_sends_nothing(kaggle: Stub, dist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever does not say yes sends nothing."""
    monkeypatch.setattr("builtins.input", lambda _: "")

    assert main([str(dist)]) == 1
    assert kaggle.requests == []


def test_stub_lets_nothing_through(kaggle: Stub, tmp_path: Path) -> None:
    """A client that is sent to the true address ends at the stub, with no tunnel opened."""
    environment = {**os.environ, "KAGGLE_API_ENVIRONMENT": "PROD"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAGGLE_API_ENVIRONMENT", environment["KAGGLE_API_ENVIRONMENT"])
        answer = push.client("kernels", "status", "somebody/soundpost-freesound")

    tunnels = [request for request in kaggle.requests if request.method == "CONNECT"]
    assert answer.status != 0
    assert {request.path for request in tunnels} == {"api.kaggle.com:443"}
    kaggle.requests.clear()


@pytest.mark.parametrize("options", [(), ("--notebook",)], ids=["script", "notebook"])
def test_push_of_what_build_kernel_wrote_sends_kernel_and_weights(
    kaggle: Stub, make_assets: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """From the command to the server nothing is lost: the whole source, and the member that travels apart."""
    assets = make_assets({"folds": 2})
    command = ("--submission", str(assets / "submission.toml"), "--dist", str(tmp_path / "out"), "--apart", "tiny0/2")

    built = build_kernel([*command, "--kaggle", "somebody", "--competition", COMPETITION, *options])
    _push(tmp_path / "out")

    assert built == 0
    body = kaggle.named("SaveKernel")[0].json()
    source = json.loads(body["text"])["cells"][1]["source"] if options else body["text"]
    assert source.startswith("# GENERATED by `python build_kernel.py")
    assert 'file = "tiny0-2.safetensors"' in source
    assert 'dataset = "somebody/soundpost-weights"' in source
    assert body["kernelType"] == ("notebook" if options else "script")
    assert body["slug"] == "somebody/soundpost-freesound-audio-tagging-2019"
    assert body["datasetDataSources"] == ["somebody/soundpost-weights"]
    (put,) = kaggle.named("tiny0-2.safetensors")
    assert put.body == (assets / "tiny0" / "fold2.safetensors").read_bytes()


def test_build_without_members_apart_attaches_no_dataset(make_assets: Callable[..., Path], tmp_path: Path) -> None:
    """A kernel that carries everything asks for nothing that might be missing; older files are gone."""
    (tmp_path / "out" / "weights-dataset").mkdir(parents=True)
    submission = make_assets({"folds": 1}) / "submission.toml"
    command = ["--submission", str(submission), "--dist", str(tmp_path / "out")]

    assert build_kernel([*command, "--kaggle", "somebody", "--competition", COMPETITION]) == 0

    written = json.loads((tmp_path / "out" / "kernel" / "kernel-metadata.json").read_text())
    assert written["dataset_sources"] == []
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["kernel"]


@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_push_asks_for_the_accelerator_that_was_named(
    kaggle: Stub, make_assets: Callable[..., Path], tmp_path: Path, accelerator: str
) -> None:
    """A contest that scores on four cores refuses a submission from a GPU, so "none" asks for no machine by name."""
    submission = make_assets({"folds": 1}) / "submission.toml"
    command = ["--submission", str(submission), "--dist", str(tmp_path / "out"), "--accelerator", accelerator]

    built = build_kernel([*command, "--kaggle", "somebody", "--competition", "c/birdclef-2026", "--time-limit", "85m"])
    _push(tmp_path / "out")

    body = kaggle.named("SaveKernel")[0].json()
    assert built == 0
    assert body["enableGpu"] == (accelerator != "none")
    assert body.get("machineShape", "") == ACCELERATORS[accelerator]
    assert body["competitionDataSources"] == ["birdclef-2026"]
    assert '"time-limit": "85m",' in body["text"]
    assert body["slug"] == "somebody/soundpost-birdclef-2026"


def test_push_attaches_datasets_and_kernels_without_the_prefixes_of_a_pull(
    kaggle: Stub, make_assets: Callable[..., Path], tmp_path: Path
) -> None:
    """What Kaggle's own pull wrote can be given back, and reaches the server as the client sends it."""
    submission = make_assets({"folds": 1}) / "submission.toml"
    command = ["--submission", str(submission), "--dist", str(tmp_path / "out"), "--kaggle", "somebody"]
    sources = ["--datasets", "datasets/ann/timm-wheels,bob/more-data", "--kernels", "code/cleo/oof-answers"]

    assert build_kernel([*command, "--competition", COMPETITION, *sources]) == 0
    _push(tmp_path / "out")

    body = kaggle.named("SaveKernel")[0].json()
    assert body["datasetDataSources"] == ["ann/timm-wheels", "bob/more-data"]
    assert body["kernelDataSources"] == ["cleo/oof-answers"]


def test_request_in_the_docs_is_the_one_that_is_sent(kaggle: Stub, dist: Path) -> None:
    """docs/push.md shows what the client sends today."""
    page = (ROOT / "docs" / "push.md").read_text("utf-8")
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])

    _push(_kernel_alone(dist))

    assert shown == kaggle.requests[0].json()


# ------------------------------------------------------------ without a client


def test_push_dataset_that_never_gets_ready_is_given_up(dist: Path) -> None:
    """Waiting has an end, and the kernel stays back."""
    asked: list[tuple[str, ...]] = []

    def run(*arguments: str) -> Answer:
        asked.append(arguments)
        if arguments[1] == "status":
            made = any(a[1] == "create" for a in asked)
            return Answer('{"status": "blobs_received", "current_version_number": 1}' if made else "404 Not found", 0)
        return Answer("Your private Dataset is being created.", 0)

    clock = iter(range(0, 10**6, 100))
    with pytest.raises(PushError, match="is not ready after 900 s"):
        push.push(dist, lambda _: None, sleep=lambda _: None, clock=lambda: next(clock), run=run)
    assert all(arguments[0] == "datasets" for arguments in asked)


def test_push_without_login_says_so(dist: Path) -> None:
    """What the client prints about credentials is not taken for a missing dataset."""
    with pytest.raises(PushError, match=r"no status of the dataset .*You must log in"):
        push.push(dist, lambda _: None, run=lambda *_: Answer("You must log in to use this command.", 1))


def test_contents_without_kernel_names_the_command(tmp_path: Path) -> None:
    """A push before the build says what to type first."""
    with pytest.raises(PushError, match=r"Run python build_kernel\.py --kaggle USER --competition SLUG first"):
        contents(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "birdclef-2026",
        " birdclef-2026/ ",
        "c/birdclef-2026",
        "competitions/birdclef-2026",
        "https://www.kaggle.com/competitions/birdclef-2026",
        "https://www.kaggle.com/c/birdclef-2026/overview",
        "http://kaggle.com/competitions/birdclef-2026/data?select=train.csv",
        "www.kaggle.com/competitions/birdclef-2026#description",
    ],
)
def test_competition_slug_is_found_in_every_form_of_address(text: str) -> None:
    """Copied from the browser, from a pulled file, or typed."""
    assert competition_slug(text) == "birdclef-2026"


@pytest.mark.parametrize(
    "text", ["", "c/", "c", "Bird Clef", "https://www.kaggle.com/datasets/ann/birds", "https://example.org/c/birds"]
)
def test_competition_slug_that_is_none_is_refused(text: str) -> None:
    """What names no contest is said to name none."""
    with pytest.raises(SettingsError, match=r"--competition .* is no slug\. Give the contest's address"):
        competition_slug(text)


@pytest.mark.parametrize(
    "text", ["ann/birds", "datasets/ann/birds", "code/ann/birds", "https://www.kaggle.com/datasets/ann/birds/data"]
)
def test_source_names_are_owner_and_slug(text: str) -> None:
    """Prefixes and addresses are taken off; several stand with commas between."""
    assert source_names(f"{text}, bob/more", "--datasets") == ["ann/birds", "bob/more"]


@pytest.mark.parametrize("text", ["birds", "ann/birds/3/4", "models/ann/birds", "Ann Lee/birds"])
def test_source_names_that_are_none_are_refused(text: str) -> None:
    """A name that the client would drop with a message is refused before anything is built."""
    with pytest.raises(SettingsError, match=r"--datasets .* is not USER/SLUG"):
        source_names(text, "--datasets")


@pytest.mark.parametrize("title", TITLES)
def test_slug_is_the_one_of_the_client(title: str) -> None:
    """The address that is written is the one that the client expects of the title."""
    slugify = pytest.importorskip("slugify").slugify

    assert slug(title) == slugify(title)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Some Body", "Fine title", COMPETITION), "is no user name"),
        (("somebody", "Tiny", COMPETITION), "has 4 characters; a kernel's title has 5 to 50"),
        (("somebody", "x" * 51, COMPETITION), "has 51 characters"),
        (("somebody", "Under_score", COMPETITION), "holds more than letters"),
        (("somebody", "Two  spaces", COMPETITION), "holds more than letters"),
        (("somebody", "Fine title", "Not A Slug"), "is no slug"),
    ],
)
def test_kernel_metadata_wrong_names_are_refused_before_writing(arguments: tuple[str, str, str], words: str) -> None:
    """What the server would answer with a number is said in words here."""
    user, title, competition = arguments

    with pytest.raises(SettingsError, match=words):
        kernel_metadata(user, title, competition, [], "kernel.py", "script")


def test_dataset_metadata_short_title_is_refused() -> None:
    """Six characters are the least."""
    with pytest.raises(SettingsError, match="a dataset's title has 6 to 50"):
        dataset_metadata("somebody", "Five5")


def test_title_for_long_contest_is_cut_at_a_word() -> None:
    """Fifty characters are the most, and no word is torn."""
    title = title_for("a-contest-with-a-name-that-goes-on-and-on-for-a-very-long-time")

    assert title == "Soundpost a contest with a name that goes on and"
