"""The options of a run: from the command line, or from the settings block of a kernel."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TypeVar

from soundpost.arguments import HELP_OF_THE_KERNEL, OF_THE_KERNEL, Parser, parse_kernel
from soundpost.ensemble.weights_folder import INPUT_ROOT
from soundpost.errors import SettingsError
from soundpost.settings import TIME_LIMIT

Number = TypeVar("Number", int, float)

EPILOG = f"""\
{HELP_OF_THE_KERNEL}
exit status:
  0    every row holds a prediction or a fallback that the log counts
  1    a defect; the best submission so far lies on disk
  2    refused: settings, weights or limits with which there can be no prediction
  3    no clip was predicted: the time ended, or not one row of the sample has a file (on Kaggle, where clips may be
       hidden, only when --test-dir holds other ones); the submission holds class priors. Of --dry-run: the first pass
       alone does not fit
  130, 143    interrupted or terminated; the best submission so far lies on disk
In Kaggle's scored rerun, which throws away what ends with an error, a valid file with answers ends with 0, and the log
names the status that it would have been.
"""


def parse(argv: Sequence[str] | None, settings: Mapping[str, object], prog: str = "kernel.py") -> argparse.Namespace:
    """The options of one run; what the command line says comes before what the settings block says.

    Args:
        argv: without the program's name; None: of this process.
        settings: values by the options' long names; None stands for the default.
        prog: what the program is called in its help.

    Raises:
        SettingsError: the settings block names something that is no option.
        SystemExit: an argument cannot be used (status 2), or --help was asked for (status 0).
    """
    return parse_kernel(_parser(prog), argv, settings)


def not_negative(value: Number, name: str) -> Number:
    """The value of an option that counts something.

    Raises:
        SettingsError: it is below zero.
    """
    if value < 0:
        raise SettingsError(f"--{name} {value} is negative. Give a number to expect, or leave the option out.")
    return value


def _parser(prog: str) -> Parser:
    parser = Parser(
        prog=prog,
        description="Tag a folder of audio clips with the weights that this file carries, and write submission.csv. "
        "On Kaggle no option is needed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        elsewhere=OF_THE_KERNEL,
    )
    add = parser.add_argument
    add("--test-dir", metavar="DIR", help="folder of the clips (default: the competition's, under /kaggle/input)")
    add("--sample-submission", metavar="CSV", help="rows and columns to fill (default: the competition's)")
    add("--out", metavar="CSV", default="submission.csv", help="file to write (default: submission.csv)")
    add("--time-limit", metavar="TIME", default=TIME_LIMIT,
        help=f"of the whole run: 55m, 90s (default: {TIME_LIMIT})")  # fmt: skip
    add("--memory-limit", metavar="SIZE",
        help="of all processes together: 12G, 800M, 1,035M (default: what the machine allows)")  # fmt: skip
    add("--cache-memory", metavar="SIZE", help="of spectrograms in memory: 2G (default: what --memory-limit leaves)")
    add("--disk-limit", metavar="SIZE", help="of spilled spectrograms: 4G (default: half of what is free)")
    add("--device", default="auto", help="auto, cpu, cuda, or several: cuda:0,cuda:1 (default: auto)")
    add("--precision", default="auto", choices=("auto", "float32", "float16", "bfloat16"),
        help="of the networks; auto: half on a GPU where answers stay the same to 0.005")  # fmt: skip
    add("--backend", default="auto", choices=("auto", "torch", "onnxruntime", "openvino"),
        help="of networks on cores; auto: the fastest here whose answers agree to 0.001")  # fmt: skip
    add("--cache-dtype", default="float32", choices=("float32", "float16"), help="of cached spectrograms")
    add("--workers", type=int, default=0, help="processes that decode and compute features (default: by the cores)")
    add("--start-method", default="auto", choices=("auto", "fork", "spawn"), help="of the workers (default: fork)")
    add("--members", metavar="NAMES", default="", help="only these: compact/1,compact/3 (default: all)")
    add("--views", type=int, default=0, metavar="N", help="only the N cheapest view sets of each recipe (default: all)")
    add("--scratch", metavar="DIR", help="for spilled spectrograms (default: the system's temporary folder)")
    add("--log", metavar="FILE", help="gets a copy of the log")
    add(
        "--report", metavar="HTML", help="gets the run as one page of pictures, in the time that it leaves of its limit"
    )
    add("--progress", default="auto", choices=("auto", "bar", "lines", "quiet"),
        help="a bar, plain lines, or warnings and errors alone (default: a bar in a terminal, else lines)")  # fmt: skip
    add("--dry-run", action="store_true", help="write nothing: measure a few clips and foretell the whole run")
    add(
        "--expect-clips",
        "--expect-files",
        dest="expect_clips",
        type=int,
        default=0,
        metavar="N",
        help="of the dry run (default: three times this folder's)",
    )
    add("--expect-seconds", type=float, default=0.0, metavar="S", help="mean length of a clip (default: this folder's)")
    add("--as", dest="as_machine", metavar="MACHINE", default="", help="foretell t4, p100, cpu, ...: an estimate")
    add("--competition", metavar="SLUG", default="", help="whose data to look for under the input folder")
    add("--input-root", metavar="DIR", default=str(INPUT_ROOT), help="where data is attached (default: /kaggle/input)")
    add("--assets", metavar="DIR", help="folder of submission.toml and weights (default: those of this kernel)")
    return parser
