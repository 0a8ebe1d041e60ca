"""The dataset of weights, if there is one, then the kernel, by Kaggle's client: python -m soundpost.kernel.push FOLDER.

The client ends with status 0 on most refusals, so what counts is what it prints: a push is taken for done only when
it says so, and for refused, with its words, when it says anything else. Credentials are the client's own affair.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from soundpost.arguments import Parser
from soundpost.exit_status import refusing
from soundpost.kernel.client import Answer, PushError, Say, client, words
from soundpost.kernel.follow import Outside, follow, look_again, show
from soundpost.kernel.metadata import DATASET_FILE, KERNEL_FILE
from soundpost.kernel.submit import Pushed, read_pushed, score, submit
from soundpost.kernel.submit import look_again as look_for_score
from soundpost.kernel.training_push import attach_own_output, is_training, refuse_submission, show_session

CREATED, VERSIONED, PUSHED = "Dataset is being created", "Dataset version is being created", "successfully pushed"
IN_PART = "are not valid"  # what the client says about sources that it left out of a push
REFUSED = re.compile(rf"{IN_PART} [a-z ]+: (\[.*\])")  # which ones, as a list of Python's
READY, FAILED = "ready", "failed"
POLL_SECONDS = 10.0
READY_SECONDS = 900.0  # a dataset that takes longer is not waited for
PUSHED_FILE = "pushed.json"  # in the folder: kernel, version and contest of the last push
INTERRUPTED = 130  # as shells count SIGINT


@dataclass(frozen=True)
class State:
    """How a dataset stands, as the client tells it."""

    status: str
    version: int  # the newest


def push(
    folder: Path,
    say: Say = print,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    run: Callable[..., Answer] = client,
    spare: str = "",
) -> int:
    """Push what build_kernel.py --kaggle wrote.

    Args:
        folder: holds kernel/ and, where weights travel apart, weights-dataset/.
        say: gets the lines of the log.
        sleep: waits that many seconds.
        clock: seconds, monotonic.
        run: the client.
        spare: a source that may be missing: the kernel's own output, of which there may be none yet.

    Returns:
        The version that the kernel got.

    Raises:
        PushError: refused, in whole or in part; or the dataset is not ready in time.
    """
    dataset, kernel = folder / "weights-dataset", folder / "kernel"
    if (dataset / DATASET_FILE).is_file():
        _push_dataset(dataset, say, sleep, clock, run)
    return push_kernel(kernel, say, run, spare)


def push_kernel(kernel: Path, say: Say, run: Callable[..., Answer], spare: str = "") -> int:
    """Push the kernel alone, the version that it got; spare as for push.

    Raises:
        PushError: refused, in whole or in part.
    """
    say(f"pushing the kernel from {kernel.name}/")
    answer = run("kernels", "push", "-p", str(kernel))
    if PUSHED not in answer.text or answer.status:
        hint = ""
        if "400" in answer.text:
            hint = " A bare 400 is most often a source of 1 MB or more, or a title that is taken."
        raise PushError(f"the kernel was refused: {words(answer)}.{hint} Correct it and push again.")
    if spare and REFUSED.findall(answer.text) == [str([spare])]:
        say(f"{spare} has no output yet, as no run of it ended well: it begins anew")
    elif IN_PART in answer.text:
        raise PushError(
            f"the kernel was pushed without some of its sources: {words(answer)}. Correct kernel-metadata.json, or "
            "join the contest and accept its rules, and push again."
        )
    say(answer.text)
    version = re.search(r"Kernel version (\d+)", answer.text)
    return int(version[1]) if version else 0


def _push_dataset(
    folder: Path, say: Say, sleep: Callable[[float], None], clock: Callable[[], float], run: Callable[..., Answer]
) -> None:
    name = json.loads((folder / DATASET_FILE).read_text("utf-8"))["id"]
    there = _state(run, name)
    before = there.version if there else 0
    if there is None:
        say(f"creating the dataset {name}")
        answer, done = run("datasets", "create", "-q", "-p", str(folder)), CREATED
    else:
        say(f"adding a version to the dataset {name}, which has {before}")
        answer, done = run("datasets", "version", "-q", "-p", str(folder), "-m", _note(folder)), VERSIONED
    if done.lower() not in answer.text.lower() or answer.status:
        raise PushError(f"the dataset {name} was refused: {words(answer)}. Correct it and push again.")
    began = clock()
    while (now := _state(run, name)) is None or now.status != READY or now.version <= before:
        if now is not None and now.status == FAILED and now.version > before:
            raise PushError(f"the dataset {name} failed on Kaggle's side. Look at it there, and push again.")
        if clock() - began > READY_SECONDS:
            raise PushError(
                f"the dataset {name} is not ready after {READY_SECONDS:.0f} s. Look at it on Kaggle, and push the "
                "kernel when it is."
            )
        sleep(POLL_SECONDS)
    say(f"the dataset {name} is ready, version {now.version}")


def _state(run: Callable[..., Answer], name: str) -> State | None:
    """How a dataset stands; None when there is none of that name."""
    answer = run("datasets", "status", name, "--format", "json")
    line = next((line for line in answer.text.splitlines() if line.startswith("{")), "")
    if not line:
        if "404" in answer.text or "not found" in answer.text.lower() or "403" in answer.text:
            return None
        raise PushError(f"no status of the dataset {name}: {words(answer)}. Check the client's login and push again.")
    table: dict[str, Any] = json.loads(line)
    return State(table["status"], int(table["current_version_number"] or 0))


def _note(folder: Path) -> str:
    files = sorted(path.name for path in folder.iterdir() if path.name != DATASET_FILE)
    return f"{len(files)} weight files"


def contents(folder: Path) -> list[str]:
    """What a push would send, one line each.

    Raises:
        PushError: there is no kernel in the folder.
    """
    metadata = folder / "kernel" / KERNEL_FILE
    if not metadata.is_file():
        raise PushError(f"{metadata} is not there. Run python build_kernel.py --kaggle USER --competition SLUG first.")
    lines = []
    if (folder / "weights-dataset" / DATASET_FILE).is_file():
        table = json.loads((folder / "weights-dataset" / DATASET_FILE).read_text("utf-8"))
        lines.append(f"dataset {table['id']}, private:")
        lines += _sizes(folder / "weights-dataset", DATASET_FILE)
    table = json.loads(metadata.read_text("utf-8"))
    state = ", ".join(
        [
            table["kernel_type"],
            "private" if table["is_private"] else "PUBLIC",
            "internet on" if table["enable_internet"] else "internet off",
            table["machine_shape"] if table["enable_gpu"] else "no GPU",
        ]
    )
    sources = [*table["competition_sources"], *table["dataset_sources"], *table["kernel_sources"]]
    lines.append(f"kernel {table['id']}, {state}, with {', '.join(sources)}:")
    return [*lines, *_sizes(folder / "kernel", KERNEL_FILE)]


def _sizes(folder: Path, besides: str) -> list[str]:
    files = sorted(path for path in folder.iterdir() if path.name != besides)
    return [f"    {path.name}  {path.stat().st_size:,} bytes" for path in files]


@refusing
def main(argv: Sequence[str] | None = None) -> int:
    """Show what will be sent, ask, send, and follow as far as was asked; 0 only when Kaggle took everything."""
    arguments = _parser().parse_args(argv)
    outside = Outside(say=lambda text: print(text, flush=True))
    note = arguments.folder / PUSHED_FILE
    own = ""
    if training := is_training(arguments.folder):
        refuse_submission(arguments.submit)
    if arguments.attach:
        pushed = read_pushed(note)
    else:
        if training:
            own = attach_own_output(arguments.folder, outside.say, outside.run)
        print("\n".join(contents(arguments.folder)))
        if not arguments.yes and input("Send this to Kaggle? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was sent")
            return 1
        version = push(arguments.folder, outside.say, spare=own)
        table = json.loads((arguments.folder / "kernel" / KERNEL_FILE).read_text("utf-8"))
        pushed = Pushed(table["id"], version, (table["competition_sources"] or [""])[0])
        pushed.write(note)
    if arguments.wait or arguments.attach or arguments.submit:
        return to_the_end(arguments.folder, pushed, arguments.submit, outside, arguments.attach)
    return 0


def to_the_end(folder: Path, pushed: Pushed, message: str, outside: Outside, is_older: bool = False) -> int:
    """Follow the run, once more where its input was not mounted yet; show what it left; submit that where asked.

    Args:
        folder: what was pushed; outputs go into output/ there.
        pushed: kernel, version and contest.
        message: what the submission is called; "" submits nothing.
        outside: client, clock and log.
        is_older: it was pushed some time ago. Its status, and that of a first version, is asked at once; another one
            that was pushed just now waits a little, lest the run before it is taken for it.

    Returns:
        0, or 130 where a person has seen enough; the run goes on then.

    Raises:
        PushError: the run failed, or the submission was refused.
    """
    hint = look_again(pushed.kernel)
    try:
        ended = follow(pushed.kernel, outside, is_older or pushed.version == 1)
        if ended.had_no_input:
            outside.say("it began before its sources were mounted: the same version is pushed once more")
            spare = pushed.kernel if is_training(folder) else ""
            version = push_kernel(folder / "kernel", outside.say, outside.run, spare)
            pushed = replace(pushed, version=version)
            pushed.write(folder / PUSHED_FILE)
            ended = follow(pushed.kernel, outside)
        if is_training(folder):
            show_session(pushed.kernel, ended, folder / "output", outside)
            return 0
        submission = show(pushed.kernel, ended, folder / "output", outside)
        if message:
            submit(pushed, submission, message, outside)
            hint = look_for_score(pushed)
            outside.say(score(pushed, message, outside))
    except KeyboardInterrupt:
        outside.say(f"not followed any further; Kaggle goes on by itself. To {hint}")
        return INTERRUPTED
    return 0


def _parser() -> Parser:
    parser = Parser(prog="soundpost push", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("dist"), help="what --kaggle wrote (dist)")
    parser.add_argument("--yes", action="store_true", help="send without asking")
    parser.add_argument("--wait", action="store_true", help="follow the run to its end, show log and preview")
    parser.add_argument(
        "--submit", metavar="MESSAGE", default="", help="then submit its answers, and wait for the score"
    )
    parser.add_argument("--attach", action="store_true", help="send nothing: follow what was pushed last")
    return parser


if __name__ == "__main__":
    sys.exit(main())
