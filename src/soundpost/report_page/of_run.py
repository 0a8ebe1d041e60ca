"""The page of a run that has just ended: python -m soundpost.report_page.of_run RUN_JSON HTML, as a kernel starts it.

It is a process of its own, so that whatever becomes of it costs the run nothing. No clip gets a player, and nothing is
scored, because a kernel carries no truth. What it prints is the reason why there is no page.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from soundpost.errors import KitError
from soundpost.exit_status import STATUS_OK, STATUS_REFUSED
from soundpost.resources.processes import die_with_parent

UNCERTAIN = 12  # least certain clips that are shown


def main(arguments: Sequence[str]) -> int:
    """Write the page aside and put it in its place; 0, or 2 with the reason in one line."""
    die_with_parent()
    from soundpost.report_page.clips import paths_of
    from soundpost.report_page.page import page
    from soundpost.report_page.run_file import read_run

    record, out = map(Path, arguments)
    aside = out.with_name(f"{out.name}.part")
    try:
        run = read_run(record)
        aside.write_text(page(run, paths_of(run), plays=False, n_uncertain=UNCERTAIN), "utf-8")
        aside.replace(out)
    except OSError as error:
        print(error.strerror)
        return STATUS_REFUSED
    except KitError as error:
        print(error)
        return STATUS_REFUSED
    return STATUS_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
