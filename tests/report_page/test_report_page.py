"""soundpost report: one page that needs no other file, and that a browser shows."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import LABELS, RATE, waveform
from matplotlib.image import imread

from soundpost.errors import SettingsError
from soundpost.report_page.command import main

MEMBERS = ["argus/1", "argus/2", "compact/1"]
ROWS = {
    "sure.wav": (0.9, 0.1, 0.1, 0.1),
    "unsure.wav": (0.3, 0.29, 0.28, 0.27),
    "silent.wav": (0.2, 0.6, 0.1, 0.1),
    "mended.wav": (0.1, 0.1, 0.8, 0.1),
    "lost.wav": (0.1, 0.2, 0.3, 0.4),
}
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def record(folder: Path, **changes: Any) -> Path:
    """A run.json as a run of two recipes leaves it."""
    table = {
        "format": 1,
        "soundpost": "0.1.0",
        "status": 0,
        "settings": {
            "out": str(folder / "submission.csv"),
            "test_dir": str(folder / "test"),
            "time_limit_seconds": 60.0,
        },
        "engines": 1,
        "seconds": 9.5,
        "ready": {
            "devices": ["cpu", "cpu"],
            "workers": 2,
            "memory_limit_bytes": 10**9,
            "members": MEMBERS,
            "blend": {
                "folds": "mean",
                "stages": [
                    {"output": "answer", "rule": "mean", "inputs": ["argus", "compact"], "weights": {"argus": 3.0}}
                ],
            },
        },
        "passes": [
            {"name": "argus/1 whole", "members": 1, "clips": 5, "done": 5, "begin": 2, "end": 5, "complete": True},
            {"name": "argus/2 whole", "members": 1, "clips": 4, "begin": 5, "end": None, "complete": False},
        ],
        "lanes": [[0, 2.1, 4.0, 8], [1, 2.2, 4.9, 8], [0, 5.0, 9.0, 9]],
        "samples": [[3.0, 4e8, 1e7, 0, 3], [6.0, 8e8, 2e7, 1e6, 5]],
        "writes": [[2.0, 0], [5.0, 4]],
        "ended": {
            "answered": 4,
            "rows": 5,
            "peak_bytes": 8e8,
            "seconds": {"start": 2.0},
            "audio_seconds": 3.0,
            "missing": {},
            "unreadable": {"lost.wav": "lost.wav: 0 bytes. Its row gets the fallback."},
            "unfinished": {},
            "too_large": {},
            "mended": ["mended.wav: header promises <b>800</b> samples, file holds 200"],
            "silent": ["silent.wav: all 8,000 samples are 0"],
            "second_reader": [],
            "members_skipped": {"compact/2": "altered"},
            "fallbacks": {"workers died": 1},
            "passes_planned": 4,
        },
    } | changes
    path = folder / "run.json"
    path.write_text(json.dumps(table))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with its submission, its clips and a truth."""
    (tmp_path / "test").mkdir()
    for number, name in enumerate(ROWS):
        sound = np.zeros(RATE // 2) if name == "silent.wav" else waveform(0.5, number)
        soundfile.write(tmp_path / "test" / name, sound, RATE)
    (tmp_path / "test" / "lost.wav").write_bytes(b"")
    lines = [",".join([name, *map(str, row)]) for name, row in ROWS.items()]
    (tmp_path / "submission.csv").write_text("\n".join([",".join(["fname", *LABELS]), *lines]) + "\n")
    (tmp_path / "truth.csv").write_text('fname,labels\nsure.wav,Bark\nunsure.wav,"Rain,Siren"\nelsewhere.wav,Rain\n')
    record(tmp_path)
    return tmp_path


def text_of(folder: Path, *options: str) -> str:
    assert main([str(folder / "run.json"), *options]) == 0
    return (folder / "report.html").read_text()


def chapter(text: str, title: str) -> str:
    """What stands under a heading."""
    return text.partition(f"<h2>{title}</h2>")[2].partition("<h2>")[0]


def test_page_shows_the_clips_worth_looking_at(folder: Path) -> None:
    """Least certain first, without those that hold no answer; the silent and the mended with the reason."""
    text = text_of(folder, "--uncertain", "2")

    assert re.findall(r"<strong>(\S+)</strong>", chapter(text, "Least certain")) == ["unsure.wav", "silent.wav"]
    assert re.findall(r"<strong>(\S+)</strong>", chapter(text, "Silent")) == ["silent.wav"]
    assert "header promises &lt;b&gt;800&lt;/b&gt; samples" in chapter(text, "Mended")
    assert "Bark 0.30, Rain 0.29, Siren 0.28" in chapter(text, "Least certain")
    assert chapter(text, "Least certain").count('src="data:image/png;base64,') == 2
    assert chapter(text, "Least certain").count('<audio controls preload="none" src="data:audio/ogg;base64,') == 2
    assert "silent: 1 clips, mended: 1 clips, read by ffmpeg: 0 clips." in text
    assert "lost.wav: 0 bytes." in text
    assert "workers died: 1" in text
    assert "member skipped: compact/2: altered" in text


def test_page_needs_nothing_from_elsewhere_and_runs_no_script(folder: Path) -> None:
    """It can be mailed, and opened years later."""
    text = text_of(folder)

    sources = re.findall(r'(?:src|href|data)\s*=\s*"([^"]*)"', text)
    assert [source[:40] for source in sources if not source.startswith(("data:", "#"))] == []
    assert "<script" not in text
    assert "@import" not in text


def test_page_is_the_same_for_the_same_run(folder: Path) -> None:
    """No clock and no draw enters; sound is encoded with a serial number of its own and is left out here."""
    assert text_of(folder, "--no-sound") == text_of(folder, "--no-sound")
    assert "<audio" not in text_of(folder, "--no-sound")


def test_page_scores_against_a_truth(folder: Path) -> None:
    """By the metrics of the kit, over the clips that both know."""
    text = text_of(folder, "--truth", str(folder / "truth.csv"))

    # sure.wav ranks its label first; unsure.wav its two labels second and third: (1 + 1/2 + 2/3) / 3.
    assert (
        f"lwlrap {(1 + 1 / 2 + 2 / 3) / 3:.4f}, accuracy 0.5000 over 2 clips; 1 clips of the truth are in no row"
        in text
    )
    assert '<span class="quiet">truth: Rain, Siren</span>' in text


def test_page_shows_each_members_share_of_the_blend(folder: Path) -> None:
    """Folds share their recipe's weight: three quarters over two folds, one quarter for the other."""
    shares = re.findall(r">(\d+%)<", chapter(text_of(folder), "Blend"))

    assert shares == ["38%", "38%", "25%"]


def test_page_lists_the_stages_of_a_staged_blend(folder: Path) -> None:
    """Where no single share can be told, the stages are."""
    table = json.loads((folder / "run.json").read_text())
    stages = [
        {"output": "first", "rule": "mean", "inputs": MEMBERS, "weights": {}},
        {"output": "answer", "rule": "geometric_mean", "inputs": ["first", "argus"], "weights": {"argus": 2.0}},
    ]
    table["ready"]["blend"]["stages"] = stages
    record(folder, ready=table["ready"])

    blend = chapter(text_of(folder), "Blend")
    assert "<td>geometric_mean</td><td>first 1, argus 2.0</td>" in blend
    assert "<svg" not in blend


def test_page_of_a_run_whose_engine_told_nothing_is_a_page(tmp_path: Path) -> None:
    """Refused at the start: no picture, but status and reason to look further."""
    record(tmp_path, status=2, ready={}, passes=[], lanes=[], samples=[], writes=[], ended={}, engines=0)

    text = text_of(tmp_path)

    assert "status 2</span> refused" in text
    assert "no submission.csv beside run.json" in text
    assert "<svg" not in text


def test_page_of_a_submission_that_names_labels_says_so(folder: Path) -> None:
    """The other format holds no probability to draw."""
    (folder / "submission.csv").write_text("fname,label\nsure.wav,Bark Rain Siren\n")

    assert "submission.csv names labels and holds no probabilities" in text_of(folder)
    with pytest.raises(SettingsError, match=r"--truth: submission\.csv names labels"):
        main([str(folder), "--truth", str(folder / "truth.csv")])


def test_page_without_the_clips_has_no_pictures_of_them(folder: Path) -> None:
    """On another machine the numbers are there all the same; --clips says where the clips are now."""
    (folder / "test").rename(folder / "moved")

    text = text_of(folder)
    assert "The clips are not here" in text
    assert "image/png" not in text
    assert "image/png" in text_of(folder, "--clips", str(folder / "moved"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ("{", "not JSON"),
        ("[]", "format None, this version reads 1"),
        ('{"format": 9}', "format 9"),
    ],
)
def test_file_that_is_no_record_is_refused(tmp_path: Path, content: str | None, words: str) -> None:
    """With what to name instead."""
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(SettingsError, match=words):
        main([str(tmp_path)])


def test_places_that_are_not_there_are_refused(folder: Path) -> None:
    """Each by its option."""
    for option, words in (("--submission", "is not there"), ("--clips", "is no folder")):
        with pytest.raises(SettingsError, match=f"{option} .*{words}"):
            main([str(folder), option, str(folder / "nothing")])
    with pytest.raises(SettingsError, match=r"--out .*cannot be written"):
        main([str(folder), "--out", str(folder / "no" / "where.html")])


def test_package_that_is_missing_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are an extra."""
    monkeypatch.setattr("soundpost.report_page.command.find_spec", lambda name: None if name == "jinja2" else name)
    with pytest.raises(SettingsError, match=r"not installed: jinja2\. Run pip install 'soundpost\[report\]'"):
        main([str(folder)])


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian: apt-get install chromium)")
def test_page_is_shown_by_a_browser_without_complaint(folder: Path, tmp_path: Path) -> None:
    """Bars, curves and spectrograms have their colours on the screen, and the console stays empty."""
    text_of(folder, "--truth", str(folder / "truth.csv"))
    picture = tmp_path / "shot.png"
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars", "--window-size=1000,2400"]
    command += ["--enable-logging=stderr", f"--screenshot={picture}", (folder / "report.html").as_uri()]

    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    assert [line for line in shown.stderr.splitlines() if ":CONSOLE" in line] == []
    pixels = np.round(imread(picture)[..., :3] * 255).astype(int).reshape(-1, 3)
    for colour, least in (((0x3B, 0x6E, 0xA8), 5000), ((0x4B, 0x8B, 0x57), 2000), ((0xD1, 0x76, 0x2C), 500)):
        assert (pixels == colour).all(axis=1).sum() > least
    hot = (pixels[:, 0] > 200) & (pixels[:, 1] < 140) & (pixels[:, 2] > 80) & (pixels[:, 2] < 140)  # no chart has that
    assert hot.sum() > 1000
