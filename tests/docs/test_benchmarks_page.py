"""docs/benchmarks.md is what its writer makes of the results that are kept; a result is what a command printed."""

import importlib.util
import json
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "docs" / "benchmarks").glob("*.json"))
PRINTED = """
no limit

| clips | ms |
|---|---:|
| 1,000 | 5.7 |
| 4,000 | 4.7 |

wall time: 1.02
"""
BLOCKS = [
    {"text": "no limit"},
    {"columns": ["clips", "ms"], "rows": [["1,000", "5.7"], ["4,000", "4.7"]]},
    {"text": "wall time: 1.02"},
]


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """docs/write_benchmarks.py, with a page and results of its own in a folder that is thrown away."""
    spec = importlib.util.spec_from_file_location("write_benchmarks", ROOT / "docs" / "write_benchmarks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "write_benchmarks", module)
    spec.loader.exec_module(module)
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(module, "PAGE", tmp_path / "benchmarks.md")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(module.read_results, "__defaults__", (tmp_path / "results",))
    monkeypatch.setattr(module.write_result, "__defaults__", (tmp_path / "results",))
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    (tmp_path / "results" / "page.md").write_text("# Page\n\nWords.\n\n<!-- one -->\n\nMore.\n")
    return module


def test_benchmarks_page_is_that_of_the_results(writer: ModuleType) -> None:
    """A figure changed by hand, on the page or in a result, is found here."""
    folder = ROOT / "docs" / "benchmarks"
    expected = writer.page((folder / "page.md").read_text("utf-8"), writer.read_results(folder))

    assert (ROOT / "docs" / "benchmarks.md").read_text("utf-8") == expected


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_benchmark_result_names_a_command_that_is_there(writer: ModuleType, path: Path) -> None:
    """A script of benchmarks/, options that it has, and rows as wide as their columns."""
    result = writer.Result(**json.loads(path.read_text("utf-8")))
    python, script, *words = shlex.split(result.command)
    source = (ROOT / script).read_text("utf-8")

    assert (python, script.split("/")[0]) == ("python", "benchmarks")
    assert [word for word in words if word.startswith("--") and f'"{word.partition("=")[0]}"' not in source] == []
    assert all([result.date, result.machine, result.precision])
    tables = [block for block in result.printed if "columns" in block]
    assert tables
    assert all(len(row) == len(table["columns"]) for table in tables for row in table["rows"])


def test_printed_tables_and_lines_are_kept_in_their_order(writer: ModuleType) -> None:
    """Whatever a benchmark prints beside its tables stays with them."""
    assert writer.parsed(PRINTED) == BLOCKS


def test_result_is_refreshed_by_one_command(writer: ModuleType, tmp_path: Path) -> None:
    """What the command prints now, on the page at once, with the day and the machine."""
    old = writer.Result("python -c 'print(\"| a |\\n|---|\\n| 7 |\")'", "2019-05-17", "an old one", "float32", True, [])
    writer.write_result("one", old)

    assert writer.main(["keep", "one"]) == 0

    kept = writer.read_results()["one"]
    assert kept.printed == [{"columns": ["a"], "rows": [["7"]]}]
    assert kept.date > old.date
    assert kept.machine.endswith("cores")
    assert kept.precision == "float32"
    text = (tmp_path / "benchmarks.md").read_text()
    assert "| 7 |" in text
    assert kept.date in text
    assert writer.main(["--check"]) == 0


def test_result_of_another_machine_is_kept_from_its_output(writer: ModuleType, tmp_path: Path) -> None:
    """A card that is not here: what was printed there, with its name."""
    (tmp_path / "log").write_text(PRINTED)
    given = ["keep", "one", "--precision", "bfloat16", "--output", str(tmp_path / "log")]

    with pytest.raises(SystemExit, match="give --machine"):
        writer.main([*given, "--", "python", "benchmarks/gpu.py"])
    assert writer.main([*given, "--machine", "a card", "--calm", "--", "python", "benchmarks/gpu.py", "$FOLDER"]) == 0

    kept = writer.read_results()["one"]
    assert (kept.command, kept.machine, kept.calm) == ("python benchmarks/gpu.py $FOLDER", "a card", True)
    assert kept.printed == BLOCKS


def test_result_of_a_command_that_fails_is_not_kept(writer: ModuleType) -> None:
    """The former one stays."""
    old = writer.Result("python -c 'print(1/0)'", "2019-05-17", "an old one", "float32", True, [])
    writer.write_result("one", old)

    with pytest.raises(SystemExit, match="ended with status 1; nothing was kept"):
        writer.main(["keep", "one"])
    assert writer.read_results()["one"] == old


def test_command_with_a_variable_that_is_not_set_is_refused(writer: ModuleType) -> None:
    """Before anything runs."""
    writer.write_result("one", writer.Result("python x.py $NO_SUCH_FOLDER", "2019-05-17", "m", "float32", True, []))

    with pytest.raises(SystemExit, match=r"\$NO_SUCH_FOLDER: not in the environment"):
        writer.main(["keep", "one"])


@pytest.mark.parametrize(
    ("words", "message"), [("# Page\n", "differ in one"), ("<!-- one -->\n<!-- two -->\n", "differ in two")]
)
def test_page_and_results_that_differ_are_refused(writer: ModuleType, words: str, message: str) -> None:
    """No table is lost in silence, and no mark stays on the page."""
    result = writer.Result("python x.py", "2019-05-17", "m", "float32", True, BLOCKS)

    with pytest.raises(SystemExit, match=message):
        writer.page(words, {"one": result})


def test_new_result_needs_precision_and_command(writer: ModuleType) -> None:
    """Both are asked for."""
    with pytest.raises(SystemExit, match="new: give --precision and, behind --, its command"):
        writer.main(["keep", "two"])
