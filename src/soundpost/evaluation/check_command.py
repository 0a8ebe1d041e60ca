"""Would Kaggle take this submission.csv? Its own names for what it refuses, and warnings for what it would not say.

Where the truth of its rows is known, --truth adds the score of such a contest.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from soundpost.arguments import Parser
from soundpost.contest.check import check_submission
from soundpost.evaluation.against_truth import sentence
from soundpost.exit_status import refusing

NOT_VALID = 1  # status where Kaggle would not score the file


def parser() -> Parser:
    """The options of `soundpost check`."""
    parser = Parser(prog="soundpost check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("submission", type=Path)
    add("--sample", type=Path, required=True, help="the contest's sample_submission.csv")
    add("--test-dir", type=Path, required=True, help="folder of the recordings or clips")
    add("--truth", type=Path, metavar="CSV",
        help="fname,labels of rows whose labels are known, or 0 and 1 under the submission's own header")  # fmt: skip
    return parser


@refusing
def main(arguments: Sequence[str] | None = None) -> int:
    """Print the verdict; 0 for a submission that would be scored, 1 for one that would not, 2 for a wrong question."""
    options = parser().parse_args(arguments)
    verdict = check_submission(options.submission, options.sample, options.test_dir)
    for text in (*verdict.refusals, *(f"warning: {text}" for text in verdict.warnings)):
        print(text)
    if not verdict.is_valid:
        return NOT_VALID
    print(f"{options.submission}: rows, columns and values are what the contest asks for.")
    if options.truth:
        print(sentence(verdict.shape, options.submission, options.truth))
    return 0


if __name__ == "__main__":
    sys.exit(main())
