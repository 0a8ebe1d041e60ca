"""A push that is followed against a stub on loopback: the client's world, a log, and a clock that costs no time."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import kaggle_stub
import pytest
from kaggle_stub import Stub

from soundpost.kernel.client import client
from soundpost.kernel.follow import Outside


@contextmanager
def only_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    """The real client's whole world, for this process and its children."""
    home = tmp_path / "home"
    home.mkdir()
    with kaggle_stub.stub() as stub:
        for name in list(os.environ):
            if "proxy" in name.lower() or "KAGGLE" in name:
                monkeypatch.delenv(name)
        for name, value in stub.environment(home).items():
            monkeypatch.setenv(name, value)
        yield stub
        assert stub.named("CONNECT") == []
        # Threads that other tests of this process left may ask for something of their own; the client asks Kaggle.
        asked = [r.path for r in stub.requests if "kaggle" in r.path or "google" in r.path]
        strangers = [path for path in asked if not path.startswith("http://localhost/")]
        assert strangers == []


def as_kaggle_keeps_it(*lines: str) -> str:
    """A log as the server sends it: a list of pieces of output."""
    return json.dumps([{"stream_name": "stdout", "time": i, "data": f"{line}\n"} for i, line in enumerate(lines)])


class Follower:
    """What is said to a person, with a clock that costs no time."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.seconds = 0.0
        self.outside = Outside(self.said.append, self.sleep, lambda: self.seconds, client)

    def sleep(self, seconds: float) -> None:
        """Nothing is waited for."""
        self.seconds += seconds

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.said)
