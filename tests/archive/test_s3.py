"""Addresses of the kind s3://, by the protocol itself: a server on the loopback device that speaks it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import soundfile
from archive_runs import parts_of, tagging
from conftest import LABELS, RATE, RecipeMaker, waveform

from soundpost.archive import pseudo_labels

pytest.importorskip("moto", reason="moto is in requirements-dev.txt and not installed here")
s3fs = pytest.importorskip("s3fs", reason="s3fs is in requirements-dev.txt and not installed here")
WAIT_SECONDS = 60.0  # until the server answers
COMMAND = [sys.executable, "-m", "soundpost.cli", "tag"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server in a process of its own, which knows nobody."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("server") / "log").open("wb")
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
def environment(server: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that may use the server, and asks nobody else for credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "AWS_ENDPOINT_URL": server,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture
def bucket(server: str, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A bucket's name with four clips in folder clips/, one of them no sound; and the system that reads it."""
    system = s3fs.S3FileSystem(key="somebody", secret="secret", endpoint_url=server, skip_instance_cache=True)
    name = tmp_path.name.replace("_", "-").lower()
    system.mkdir(name)
    folder = tmp_path / "clips"
    (folder / "deep").mkdir(parents=True)
    for number, below in enumerate(("a.wav", "b.flac", "deep/c.wav")):
        soundfile.write(folder / below, waveform(0.6 + 0.3 * number, number), RATE)
    (folder / "noise.wav").write_bytes(b"no sound")
    system.put(str(folder), f"{name}/", recursive=True)
    yield name, system
    system.rm(name, recursive=True)


def tag(environment: dict[str, str], weights: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """The command as a shell runs it."""
    given = [*COMMAND, *map(str, arguments), "--weights", str(weights), "--device", "cpu", "--quiet"]
    return subprocess.run(given, env=environment, capture_output=True, text=True, timeout=300)


def assert_one_line(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """Refused: status 2, one line, with these words in it."""
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def test_bucket_is_heard_as_a_folder_is(
    environment: dict[str, str], bucket: tuple[str, Any], make_assets: RecipeMaker, tmp_path: Path
) -> None:
    """Names below the folder, the same answers and remarks; by address, by glob and by a table in the bucket."""
    name, system = bucket
    weights = make_assets({"folds": 2})
    here = tagging(weights, tmp_path)(tmp_path / "clips", out="here.parquet")
    system.pipe_file(f"{name}/clips/list.csv", b"path,start\na.wav,0.1\ndeep/c.wav,\n")

    done = tag(environment, weights, f"s3://{name}/clips", "--out", tmp_path / "folder.parquet")
    globbed = tag(environment, weights, f"s3://{name}/clips/*.wav", "--out", tmp_path / "glob.parquet")
    listed = tag(environment, weights, f"s3://{name}/clips/list.csv", "--out", tmp_path / "list.parquet")

    assert (done.returncode, globbed.returncode, listed.returncode) == (0, 0, 0), done.stderr + globbed.stderr
    found = pd.read_parquet(tmp_path / "folder.parquet").set_index("id")
    assert sorted(found.index) == sorted(here.index)
    found = found.loc[here.index]
    assert list(found["path"]) == [f"s3://{name}/clips/{below}" for below in here.index]
    pd.testing.assert_frame_equal(here[list(LABELS)], found[list(LABELS)], check_exact=False, rtol=0, atol=1e-6)
    assert found["unreadable"].notna().tolist() == here["unreadable"].notna().tolist()
    assert list(pd.read_parquet(tmp_path / "glob.parquet")["id"]) == ["a.wav", "noise.wav"]
    assert list(pd.read_parquet(tmp_path / "list.parquet")["id"]) == ["a.wav#t=0.1", "deep/c.wav"]


def test_archive_is_written_into_a_bucket_and_gone_on_with(
    environment: dict[str, str], bucket: tuple[str, Any], make_assets: RecipeMaker, tmp_path: Path
) -> None:
    """Parts as local ones; what is missing or torn is made again, what is whole is not touched, others are refused."""
    name, system = bucket
    weights = make_assets({"folds": 1})
    out = f"s3://{name}/made/TAGS.parquet"
    given = (f"s3://{name}/clips", "--part", 1, "--embeddings", "--out", out)
    here = tagging(weights, tmp_path)(tmp_path / "clips", "--part", 1, "--embeddings", out="here.parquet")

    first = tag(environment, weights, *given)
    assert first.returncode == 0, first.stderr
    system.invalidate_cache()
    made = [path for path in system.ls(f"{name}/made/TAGS.parquet", detail=False) if "part-" in path]
    assert [path.rpartition("/")[2] for path in made] == [path.name for path in parts_of(tmp_path / "here.parquet")]
    system.rm_file(made[0])
    system.pipe_file(made[2], system.cat_file(made[2])[:-30])
    before = system.info(made[1], refresh=True)["LastModified"]
    assert_one_line(tag(environment, weights, *given), "is there already, 4 clips")
    again = tag(environment, weights, *given, "--resume")

    assert again.returncode == 0, again.stderr
    assert "2 rows of 2 clips, 2 clips from before" in again.stdout
    assert system.info(made[1], refresh=True)["LastModified"] == before
    system.get(f"{name}/made/TAGS.parquet", str(tmp_path / "got.parquet"), recursive=True)
    found = pd.concat([pd.read_parquet(path) for path in parts_of(tmp_path / "got.parquet")]).set_index("id")
    assert sorted(found.index) == sorted(here.index)
    found = found.loc[here.index]
    pd.testing.assert_frame_equal(here[list(LABELS)], found[list(LABELS)], check_exact=False, rtol=0, atol=1e-6)
    assert_one_line(tag(environment, weights, *given, "--top", 1, "--resume"), "belongs to other clips, weights")


def test_labels_to_train_on_are_read_out_of_a_bucket(
    environment: dict[str, str], bucket: tuple[str, Any], make_assets: RecipeMaker, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """soundpost pseudo-label takes the address that soundpost tag wrote to."""
    name, _ = bucket
    out = f"s3://{name}/TAGS.parquet"
    assert tag(environment, make_assets({"folds": 1}), f"s3://{name}/clips", "--out", out).returncode == 0
    for key, value in environment.items():
        monkeypatch.setenv(key, value)

    assert pseudo_labels.main([out, "--rule", "top=1", "--out", str(tmp_path / "noisy.csv")]) == 0

    assert list(pd.read_csv(tmp_path / "noisy.csv")["fname"]) == ["a.wav", "b.flac", "deep/c.wav"]


def test_place_that_does_not_let_us_in_is_refused_in_one_line(
    environment: dict[str, str], bucket: tuple[str, Any], make_assets: RecipeMaker, tmp_path: Path
) -> None:
    """No credentials, no such bucket, nobody who answers: for clips, for tables and for what is written."""
    name, _ = bucket
    weights = make_assets({"folds": 1})
    local, to = tmp_path / "clips" / "a.wav", ("--out", tmp_path / "TAGS.parquet")
    nobody = {key: value for key, value in environment.items() if "KEY" not in key}
    away = {**environment, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}

    for place in (f"s3://{name}/clips", f"s3://{name}/list.csv"):
        assert_one_line(tag(nobody, weights, place, *to), place, "redentials")
    assert_one_line(
        tag(nobody, weights, local, "--out", f"s3://{name}/T.parquet"), f"s3://{name}/T.parquet", "redential"
    )
    assert_one_line(tag(environment, weights, "s3://no-such-bucket/clips", *to), "s3://no-such-bucket/clips")
    assert_one_line(tag(environment, weights, "s3://no-such-bucket/list.csv", *to), "s3://no-such-bucket/list.csv")
    missing = tag(environment, weights, local, "--out", "s3://no-such-bucket/T.parquet")
    assert_one_line(missing, "s3://no-such-bucket/T.parquet", "make the bucket")
    assert_one_line(tag(away, weights, f"s3://{name}/clips", *to), f"s3://{name}/clips")
    assert not (tmp_path / "TAGS.parquet").exists()
