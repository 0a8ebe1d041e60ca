"""soundpost COMMAND ...: one door to everything.

A command is a module with a function main(arguments) that returns an exit status; a KitError that it raises becomes a
line and a status by soundpost.exit_status. It is imported when it is called, so that `soundpost --help` is quick.
"""

import platform
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple

from soundpost.exit_status import STATUS_REFUSED, refusing
from soundpost.resources.streams import silence

PIPE_CLOSED, INTERRUPTED = 141, 130  # as shells count SIGPIPE and SIGINT
SYSTEM = "Linux"  # which has the shared memory, process groups and cgroups that runs and trainings are made of


class Command(NamedTuple):
    """One word of the command line."""

    module: str  # it holds main(arguments)
    does: str  # in one line


COMMANDS: dict[str, Command] = {
    "run": Command("soundpost.launch.call", "tag a contest's clips and write submission.csv, as kernel.py does"),
    "build": Command("soundpost.kernel.command", "write kernel.py, which carries source and weights"),
    "push": Command("soundpost.kernel.push", "send kernel and weights to Kaggle"),
    "train": Command("soundpost.training.__main__", "train the members of a plan on labelled clips"),
    "fit": Command("soundpost.training.fit", "train a template's network briefly, without a plan"),
    "ensemble": Command("soundpost.training.ensembles.command", "choose which recipes to blend; train second levels"),
    "evaluate": Command("soundpost.evaluation.evaluate", "score members on labelled clips"),
    "import": Command(
        "soundpost.importers.__main__",
        "bring in a published checkpoint, with `add` a network of your own, or `export` one to ONNX",
    ),
    "tag": Command("soundpost.tag.command", "tell what is heard where in recordings, as tables and wav files"),
    "pseudo-label": Command("soundpost.archive.pseudo_labels", "turn an archive's tags into labels to train on"),
    "check": Command(
        "soundpost.evaluation.check_command", "say whether a submission.csv is one that its sample asks for"
    ),
    "report": Command("soundpost.report_page.command", "show a run as one page of pictures"),
    "sample": Command("soundpost.sample.folder", "synthesise a contest of a few clips to try things on"),
    "calibrate": Command("soundpost.kernel.calibrate", "choose the bit widths in which weights travel"),
}

USAGE = """usage: soundpost COMMAND ...

{commands}

soundpost COMMAND --help tells of its options. Exit status: 0 done, 2 refused with the reason in one line; what else a
command can end with stands in its help.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if given else STATUS_REFUSED
    if given[0] == "--version":
        print(f"soundpost {import_module('soundpost').__version__}")
        return 0
    if given[0] not in COMMANDS:
        print(f"error: no command {given[0]!r}; known: {', '.join(COMMANDS)}.", file=sys.stderr)
        return STATUS_REFUSED
    if platform.system() != SYSTEM:
        print(
            f"error: soundpost needs {SYSTEM}, and this is {platform.system() or 'another system'}. Run it in a "
            f"container or a virtual machine of {SYSTEM}, on Windows in WSL.",
            file=sys.stderr,
        )
        return STATUS_REFUSED
    name, *rest = given
    return ended(lambda: command(name)(rest))


def command(name: str) -> Callable[[Sequence[str]], int]:
    """The function behind a word of the command line."""
    entry: Callable[[Sequence[str]], int] = import_module(COMMANDS[name].module).main
    return entry


@refusing
def ended(work: Callable[[], int]) -> int:
    """What work returns, with its output written out; a reader or a person that has seen enough ends it early."""
    try:
        status = work()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # as `| head` has
        silence(sys.stdout)
        return PIPE_CLOSED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def usage() -> str:
    """What there is, one line a command."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {entry.does}" for name, entry in COMMANDS.items()]
    return USAGE.format(commands="\n".join(lines)).strip()


if __name__ == "__main__":
    sys.exit(main())
