"""Writes docs/benchmarks.md from docs/benchmarks/: the words of page.md, and the results, NAME.json each.

python docs/write_benchmarks.py                      write the page
python docs/write_benchmarks.py --check              say whether it is up to date
python docs/write_benchmarks.py keep scaling         run the command of scaling.json again, keep what it prints, write
python docs/write_benchmarks.py keep NAME --precision float32 -- python benchmarks/x.py ...     a new one
python docs/write_benchmarks.py keep NAME ... --output LOG --machine "NVIDIA H100" -- ...       run elsewhere

In page.md a line <!-- NAME --> stands where a result goes. A command may name variables of the environment ($FOLDER).
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "docs" / "benchmarks"
HEAD = "<!-- Written by `python docs/write_benchmarks.py` from docs/benchmarks/. -->\n\n"
MARK = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)
PLAIN = re.compile(r"[\w$./=,:+-]+")  # words that need no quotes; a variable must have none
RULE = re.compile(r"\|[\s:|-]+\|")  # the line between a table's head and its rows
LOOK_SECONDS = 2.0  # before a command is run, for what else is running
CALM_SHARE = 0.1  # the most that everything else may take, as a part of one core


@dataclass(frozen=True)
class Result:
    """What one command printed, where and when."""

    command: str
    date: str  # ISO, the day on which it ran
    machine: str  # processor and cores, and the card where there is one
    precision: str
    calm: bool  # whether nothing else of any weight was running
    printed: list[dict[str, Any]]  # in order: {"text": line} or {"columns": [...], "rows": [[...], ...]}


def parsed(text: str) -> list[dict[str, Any]]:
    """The tables of what a command printed, and the lines between them."""
    found: list[dict[str, Any]] = []
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines):
        if not line.startswith("|"):
            found.append({"text": line})
        elif RULE.fullmatch(line):
            continue
        elif number + 1 < len(lines) and RULE.fullmatch(lines[number + 1]):
            found.append({"columns": _cells(line), "rows": []})
        else:
            found[-1]["rows"].append(_cells(line))
    return found


def rendered(result: Result) -> str:
    """A result as it stands on the page: where and when, then what was printed."""
    calm = "nothing else running" if result.calm else "busy with other work: read the ratios"
    parts = [f"`{result.command}` ({result.date}; {result.machine}; {result.precision}; {calm}):"]
    for block in result.printed:
        if "text" in block:
            parts.append(f"`{block['text']}`")
        else:
            rows = [block["columns"], ["---"] * len(block["columns"]), *block["rows"]]
            parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts)


def page(words: str, results: Mapping[str, Result]) -> str:
    """The whole page.

    Raises:
        SystemExit: a mark without a result, or a result without a mark.
    """
    marked = MARK.findall(words)
    if sorted(marked) != sorted(results):
        odd = ", ".join(sorted(set(marked) ^ set(results))) or "one that is marked twice"
        sys.exit(f"docs/benchmarks/page.md and the .json files beside it differ in {odd}. Add what is missing.")
    return HEAD + MARK.sub(lambda found: rendered(results[found[1]]), words)


def read_results(folder: Path = RESULTS) -> dict[str, Result]:
    """Every result that is kept, by its name."""
    return {path.stem: Result(**json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))}


def write_result(name: str, result: Result, folder: Path = RESULTS) -> None:
    """Keep a result."""
    (folder / f"{name}.json").write_text(json.dumps(asdict(result), indent=1, ensure_ascii=False) + "\n", "utf-8")


def taken(command: str, precision: str, run: Callable[[str], str] | None = None) -> Result:
    """What a command prints now, here.

    Args:
        command: as a person types it in the repository's root.
        precision: which numbers it computes with, such as "float32".
        run: gives what a command prints; None: a process of its own.
    """
    busy = psutil.cpu_percent(LOOK_SECONDS) / 100 * (psutil.cpu_count() or 1)
    printed = (run or _run)(command)
    return Result(command, today(), machine(), precision, busy < CALM_SHARE, parsed(printed))


def today() -> str:
    """The day, as ISO writes it."""
    return datetime.now(UTC).date().isoformat()


def machine() -> str:
    """Processor, cores, and the card that torch sees."""
    import torch

    names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join([*cards, names[0] if names else "unknown processor", f"{len(os.sched_getaffinity(0))} cores"])


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _run(command: str) -> str:
    """What a command prints; it is shown meanwhile."""
    words = [os.path.expandvars(word) for word in shlex.split(command)]
    if unset := [word for word in words if "$" in word]:
        sys.exit(f"{', '.join(unset)}: not in the environment. Set it: FOLDER=... python docs/write_benchmarks.py ...")
    words[0] = sys.executable if words[0] == "python" else words[0]
    began, lines = time.monotonic(), []
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"{command} ended with status {process.returncode}; nothing was kept.")
    print(f"{time.monotonic() - began:.0f} s")
    return "".join(lines)


def _keep(options: argparse.Namespace, words: Sequence[str]) -> None:
    before = read_results().get(options.name)
    given = " ".join(word if PLAIN.fullmatch(word) else shlex.quote(word) for word in words)
    command = given or (before.command if before else "")
    precision = options.precision or (before.precision if before else "")
    if not command or not precision:
        sys.exit(f"{options.name} is new: give --precision and, behind --, its command.")
    if options.output:
        if not options.machine:
            sys.exit("--output was printed elsewhere: give --machine, and --calm where nothing else ran.")
        day = options.date or today()
        text = options.output.read_text("utf-8")
        result = Result(command, day, options.machine, precision, options.calm, parsed(text))
    else:
        result = taken(command, precision)
    write_result(options.name, result)


def main(arguments: Sequence[str]) -> int:
    """Write the page, keep a result and write, or say whether the page is up to date."""
    own, words = list(arguments), []
    if "--" in own:
        own, words = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    keep = parser.add_subparsers(dest="word").add_parser("keep")
    keep.add_argument("name")
    keep.add_argument("--precision", default="", help="of the numbers; default: as before")
    keep.add_argument("--output", type=Path, help="what the command printed elsewhere, instead of running it")
    keep.add_argument("--machine", default="", help="with --output: where that was")
    keep.add_argument("--date", default="", help="with --output: the day (today)")
    keep.add_argument("--calm", action="store_true", help="with --output: nothing else was running")
    options = parser.parse_args(own)
    if options.word == "keep":
        _keep(options, words)
    whole = page((RESULTS / "page.md").read_text("utf-8"), read_results())
    if options.check:
        if PAGE.is_file() and PAGE.read_text("utf-8") == whole:
            return 0
        print("docs/benchmarks.md is out of date: run `python docs/write_benchmarks.py`.")
        return 1
    PAGE.write_text(whole, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
