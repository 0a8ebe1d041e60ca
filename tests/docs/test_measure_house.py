"""docs/measure_house.py and the map: a small house is counted right, and a circle is named."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "__init__.py": "",
    "errors.py": "",
    "audio/__init__.py": "",
    "audio/decode.py": "from soundpost.errors import ClipError\n",
    "engine/__init__.py": "",
    "engine/run.py": "from soundpost.audio import decode\nfrom soundpost.engine.lanes import Lane\n",
    "engine/lanes.py": "def wait():\n    import soundpost.errors\n" + "    pass\n" * 40,
}


def measured(checkout: Path, files: dict[str, str]) -> dict[str, str]:
    """What the script prints about a checkout of these files."""
    for name, text in files.items():
        path = checkout / "src" / "soundpost" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [sys.executable, str(ROOT / "docs" / "measure_house.py"), str(checkout)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return dict(line.split(": ", 1) for line in printed.splitlines())


def test_measures_of_a_small_house_are_right(tmp_path: Path) -> None:
    """Three rooms on three floors, whose files know each other as their imports say, those inside functions, too."""
    assert measured(tmp_path, FILES) == {
        "files": "6",
        "files at the top level of the package, besides __init__": "1",
        "longest file": "42 lines, engine/lanes.py",
        "rooms": "3",
        "floors": "3",
        "pairs of rooms of which one imports the other": "3",
        "pairs of files of which one imports the other": "4",
        "functions over 40 lines": "1, the longest 42",
    }


def test_measures_of_a_circle_name_it(tmp_path: Path) -> None:
    """A house whose rooms import each other has no floors."""
    circle = {"errors.py": "import soundpost.engine.run\n"}

    assert measured(tmp_path, FILES | circle)["floors"].startswith("none, for a circle: ")
