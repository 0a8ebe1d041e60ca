"""docs/python.md and the Python lines of the README: what stands there runs as it stands."""

import doctest
from pathlib import Path

import pytest

from soundpost.sample.folder import make

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_page_python_lines_give_what_they_say(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """In a folder that holds the synthesised sample and nothing else."""
    make(tmp_path / "sample", 40, 0)
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest((ROOT / page).read_text("utf-8"), {}, page, page, 0)

    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.REPORT_NDIFF).run(test)

    assert result.attempted >= 4
    assert result.failed == 0
