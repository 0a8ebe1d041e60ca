"""The command line of every command: an option that is not known is refused with the nearest one that is.

Only a notebook's own arguments are left alone: code that runs in a cell finds those in its process with which the
notebook's kernel was started.
"""

import argparse
import difflib
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from soundpost.errors import SettingsError

STATUS_USAGE = 2  # what a command ends with when its arguments cannot be used
OF_THE_KERNEL = ("--contents", "--unpack")  # taken by a kernel itself, before anything of the kit is imported
HELP_OF_THE_KERNEL = """\
of the kernel alone:
  --contents      list every file that it carries, with lines, bytes and sha256
  --unpack DIR    write them all out into a new or empty folder
"""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that takes options by their full names alone, and says which one was probably meant.

    Args:
        elsewhere: options that somebody else takes before this parser sees the rest; they are known, too.
        others: as for ArgumentParser.
    """

    def __init__(self, *, elsewhere: Sequence[str] = (), **others: Any) -> None:
        super().__init__(allow_abbrev=False, **others)
        self._elsewhere = tuple(elsewhere)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The options of a command line; without one, of this process. A wrong one ends the process with status 2."""
        given = own_arguments() if args is None else list(args)
        known = self.known()
        options = given[: given.index("--")] if "--" in given else given
        # Before anything else is looked at: a mistyped option must not be reported as another one that is missing.
        unknown = [name for text in options if text.startswith("--") and (name := text.partition("=")[0]) not in known]
        if unknown:
            self.error(refusal(unknown, known))
        found, rest = self.parse_known_args(given, namespace)
        if rest:
            self.error(refusal(rest, known))
        return found

    def known(self) -> set[str]:
        """Every option that there is, those of subcommands among them."""
        own = {name for action in self._actions for name in action.option_strings}
        choices = [action.choices for action in self._actions if isinstance(action.choices, Mapping)]
        below = [other.known() for table in choices for other in table.values() if isinstance(other, Parser)]
        return own.union(self._elsewhere, *below)

    def error(self, message: str) -> Any:
        """End the process with status 2 and one line."""
        self.exit(STATUS_USAGE, f"{self.prog}: error: {message.rstrip('.')}. Try {self.prog} --help.\n")


def parse_kernel(parser: Parser, argv: Sequence[str] | None, settings: Mapping[str, object]) -> argparse.Namespace:
    """The options of a kernel; what the command line says comes before what its settings block says.

    Args:
        parser: knows the options.
        argv: without the program's name; None: of this process.
        settings: values by the options' long names; None stands for the default.

    Raises:
        SettingsError: the settings block names something that is no option.
        SystemExit: an argument cannot be used (status 2), or --help was asked for (status 0).
    """
    known = parser.known() - {*OF_THE_KERNEL}
    given = {name: value for name, value in settings.items() if value is not None}
    named = {f"--{name.lstrip('-').replace('_', '-')}": value for name, value in given.items()}
    if unknown := sorted(set(named) - known):
        why = refusal(unknown, known)
        raise SettingsError(f"SETTINGS: {why}. Correct the name; {parser.prog} --help lists them all.")
    written = [name if value is True else f"{name}={value}" for name, value in named.items() if value is not False]
    options: argparse.Namespace = parser.parse_args([*written, *(own_arguments() if argv is None else argv)])
    return options


def refusal(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Why these arguments are not taken, each with the known one that is nearest to it."""
    return "; ".join(
        f"{name} is no option{_meant(name, sorted(known))}"
        if name.startswith("-")
        else f"'{name}' belongs to no option"
        for name in unknown
    )


def _meant(name: str, known: Sequence[str]) -> str:
    known = [other for other in known if other != name]  # an option of another subcommand is known and not taken
    longer = [other for other in known if len(name) > 3 and other.startswith(name)]
    nearest = longer[:1] or difflib.get_close_matches(name, known, 1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def own_arguments() -> list[str]:
    """This process's arguments; none in a notebook, where they are those of its kernel."""
    arguments = sys.argv[1:]
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return [] if shell is not None and _names_connection(arguments) else arguments


def _names_connection(arguments: Sequence[str]) -> bool:
    """Whether there is the file by which a notebook talks to its kernel: -f FILE.json, or --f=FILE.json."""
    pairs = itertools.pairwise(arguments)
    joined = (text for text in arguments if text.startswith(("-f=", "--f=")))
    return any(one == "-f" and two.endswith(".json") for one, two in pairs) or any(t.endswith(".json") for t in joined)
