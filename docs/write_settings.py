"""Writes docs/settings.md, all settings with their defaults: python docs/write_settings.py [--check]."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from soundpost.audio.decode import AudioSettings  # noqa: E402
from soundpost.front_ends import FRONT_ENDS  # noqa: E402
from soundpost.importers.shown_settings import FIXED, comments, plain  # noqa: E402
from soundpost.registry import pick  # noqa: E402
from soundpost.views import VIEWS  # noqa: E402

PAGE = ROOT / "docs" / "settings.md"
HEAD = """<!-- Written by `python docs/write_settings.py`. -->

# Settings

What a recipe does not say has a default, and a default that is not the training's changes answers without a word.
Here are all of them, as `soundpost import add` shows them for a recipe. Below each front end stands what no setting
changes. [front_ends.md](front_ends.md) shows what the front ends make of a sound.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## [audio]\n", *table(AudioSettings)]
    for title, kind, registry in (("[front_end]", "front end", FRONT_ENDS), ("[[views]]", "view", VIEWS)):
        parts.append(f"## {title}\n")
        for name in sorted(registry):
            parts += [f"### {name}\n", *table(pick(registry, name, kind).Settings)]
            if kind == "front end" and FIXED[name]:
                parts.append("Fixed: " + "; ".join(f"{what}: {words}" for what, words in FIXED[name].items()) + ".\n")
    return "\n".join(parts).rstrip() + "\n"


def table(settings: type) -> list[str]:
    """The settings of one class as rows."""
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(settings)
    meanings = comments(settings)
    if not fields:
        return ["No settings.\n"]
    rows = [f"| `{f.name}` | {default(f)} | {meanings.get(f.name, '').replace('|', '/')} |" for f in fields]
    return ["| setting | default | meaning |", "|---|---|---|", *rows, ""]


def default(field: "dataclasses.Field[Any]") -> str:
    """The default as it would stand in a recipe."""
    if field.default is not dataclasses.MISSING:
        return f"`{plain(field.default)}`"
    return (
        f"`{plain(field.default_factory())}`" if field.default_factory is not dataclasses.MISSING else "must be given"
    )


def main() -> int:
    """Write the page, or with --check say whether it is up to date."""
    if "--check" in sys.argv:
        if PAGE.is_file() and PAGE.read_text("utf-8") == page():
            return 0
        print("docs/settings.md is out of date: run `python docs/write_settings.py`.")
        return 1
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
