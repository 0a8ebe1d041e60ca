"""What a push does otherwise for a kernel that trains: its own output is a source of it, and it has no submission.

The kernel goes on from the latest of its runs that ended well. Of a kernel that was never pushed there is none, and the
client refuses the name of it; so the server is asked first.
"""

import json
from collections.abc import Callable
from pathlib import Path

from soundpost.kernel.client import Answer, PushError, Say, words
from soundpost.kernel.follow import RUNNING, Ended, Outside, ended_well, fetch, status_of
from soundpost.kernel.metadata import KERNEL_FILE, TRAINING_CODE
from soundpost.kernel.training_preview import preview

WANTED = r"^(session\.json|weights/.*\.(toml|csv|safetensors))$"  # outputs that are fetched; no checkpoints
UNKNOWN = ("404", "403", "not found", "cannot access")  # how the client says that there is no such kernel


def is_training(folder: Path) -> bool:
    """Whether what is to be pushed is a kernel that trains."""
    return any((folder / "kernel" / f"{TRAINING_CODE}{suffix}").is_file() for suffix in (".py", ".ipynb"))


def refuse_submission(message: str) -> None:
    """Refuse to submit what a training leaves.

    Raises:
        PushError: it was asked for.
    """
    if message:
        raise PushError(
            "--submit: a kernel that trains leaves weights and no submission.csv. Push it with --wait, then build the "
            "kernel that answers from its output: python build_kernel.py --submission dist/output/weights/"
            "submission.toml --weights-by USER/SLUG --kaggle USER --competition SLUG."
        )


def attach_own_output(folder: Path, say: Say, run: Callable[..., Answer]) -> str:
    """Name the kernel among its own sources where it was pushed before; its name then, else empty.

    Raises:
        PushError: the client does not tell, so that a session might begin anew for nothing.
    """
    path = folder / "kernel" / KERNEL_FILE
    table = json.loads(path.read_text("utf-8"))
    own = str(table["id"])
    answer = run("kernels", "status", own)
    status = status_of(answer)
    if not status and not any(sign in answer.text.lower() for sign in UNKNOWN):
        raise PushError(f"no status of {own}: {words(answer)}. Check the client's login and push again.")
    others = [name for name in table["kernel_sources"] if name != own]
    table["kernel_sources"] = [*others, own] if status else others
    path.write_text(json.dumps(table, indent=2) + "\n", "utf-8")
    if status in RUNNING:
        say(f"warning: a run of {own} is {status.lower()}; this one goes on from the one before it")
    say(f"it goes on from the output of {own}" if status else f"{own} was not pushed before: it begins anew")
    return own if status else ""


def show_session(kernel: str, ended: Ended, folder: Path, outside: Outside) -> None:
    """The log's last lines, then how the session ended, and the last epoch of each member.

    Args:
        kernel: owner/slug.
        ended: how it ended.
        folder: where outputs are put: weights/ there is what build_kernel.py takes.
        outside: client and log.

    Raises:
        PushError: the run failed; with the reason.
    """
    (folder / "session.json").unlink(missing_ok=True)  # an earlier session's
    fetch(kernel, ended, folder, WANTED, outside)
    ended_well(ended, "")
    if (folder / "session.json").is_file():
        outside.say(preview(folder).to_string())
        outside.say(f"recipes and weights are in {folder / 'weights'}")
