"""A stand-in checkout for each test that builds a kernel."""

from pathlib import Path

import pytest
from stand_in import make_kit


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """A checkout with the real loader and readers, stand-ins for the rest, and one recipe of two members."""
    return make_kit(tmp_path / "kit")
