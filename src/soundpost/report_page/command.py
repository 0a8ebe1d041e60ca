"""Shows a run as one page: what ran when, memory, speed, answers of each label, and the clips worth listening to.

The page is made of run.json, which every run leaves beside its submission.csv. Where the clips are still in their
folder it has their pictures, and a player for each; it needs no other file and no network.
"""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from soundpost.arguments import Parser
from soundpost.errors import SettingsError
from soundpost.exit_status import STATUS_OK

NEEDED = ("jinja2", "matplotlib")  # both come with the extra "report"


def parser() -> Parser:
    """The options of `soundpost report`."""
    parser = Parser(prog="soundpost report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("run", type=Path, metavar="RUN_JSON", help="run.json, or the folder in which it lies")
    add("--out", type=Path, metavar="HTML", help="file to write (default: report.html beside run.json)")
    add("--submission", type=Path, metavar="CSV", help="of the run (default: the one beside run.json)")
    add("--clips", type=Path, metavar="DIR", help="where the clips are now (default: where the run had them)")
    add("--truth", type=Path, metavar="CSV", help="fname,labels of clips whose labels are known: adds scores")
    add("--uncertain", type=int, default=12, metavar="N", help="least certain clips to show (default: 12)")
    add("--no-sound", action="store_true", help="leave the players out, so that the page is small")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page; 0.

    Raises:
        SettingsError: a file that is not there or cannot be read or written, or a package that is missing.
    """
    options = parser().parse_args(arguments)
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        raise SettingsError(f"not installed: {', '.join(absent)}. Run pip install 'soundpost[report]'.")
    from soundpost.evaluation.against_truth import score
    from soundpost.evaluation.dataset import read_labels
    from soundpost.report_page.clips import paths_of
    from soundpost.report_page.page import page
    from soundpost.report_page.run_file import read_run

    path = options.run / "run.json" if options.run.is_dir() else options.run
    run = read_run(path, options.submission)
    if options.clips:
        if not options.clips.is_dir():
            raise SettingsError(f"--clips {options.clips} is no folder. Name the one that holds the clips.")
        run.table["settings"]["test_dir"] = str(options.clips)
    result, truth = None, {}
    if options.truth:
        if not run.labels:
            raise SettingsError(f"--truth: {run.remark}, so nothing can be scored. Leave it out.")
        files, table = read_labels(options.truth, run.labels, {})
        result = vars(score(run.names, run.labels, run.probabilities, files, table))
        truth = {f: [run.labels[i] for i in row.nonzero()[0]] for f, row in zip(files, table, strict=True)}
    out = options.out or path.with_name("report.html")
    text = page(run, paths_of(run), not options.no_sound, max(0, options.uncertain), result, truth)
    try:
        out.write_text(text, "utf-8")
    except OSError as error:
        raise SettingsError(f"--out {out}: cannot be written ({error.strerror}). Name a file that can.") from error
    print(f"{out}: {len(text.encode()) / 1e6:.1f} MB, open it in a browser")
    return STATUS_OK
