"""docs/settings.md is what the settings classes say today, and says it of every front end and view."""

import subprocess
import sys
from pathlib import Path

import pytest

from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.shown_settings import FIXED, comments, lines
from soundpost.registry import pick
from soundpost.views import VIEWS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "settings.md").read_text("utf-8")


def test_page_of_settings_is_current() -> None:
    """A default that changes without the page would be hidden again."""
    command = [sys.executable, "docs/write_settings.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [*FRONT_ENDS, *VIEWS])
def test_page_of_settings_has_every_front_end_and_view(name: str) -> None:
    """And what no setting changes is said of every front end."""
    assert f"\n### {name}\n" in PAGE
    assert name in VIEWS or name in FIXED


def test_comments_are_those_beside_the_fields() -> None:
    """They are read off the source, so that there is one place for them."""
    found = comments(pick(FRONT_ENDS, "log_mel", "front end").Settings)

    assert found["sample_rate"] == "Hz"
    assert found["pad_mode"].startswith('"reflect" as librosa until 0.8')


def test_lines_mark_defaults_and_name_the_mel_scale() -> None:
    """What changes answers stands before a person's eyes when a network is added."""
    table = {"audio": {"sample_rate": 44100}, "front_end": {"name": "log_mel", "n_mels": 64}}
    text = lines(table, "mine")

    told = {line.split()[0]: line for line in text if "=" in line}
    assert "(default)" in told["top_db"]
    assert "80.0" in told["top_db"]
    assert "(default)" in told["pad_mode"]
    assert "(default)" not in told["n_mels"]
    assert any("mel scale" in line and "Slaney" in line for line in text)
    assert "[[views]] whole" in text
