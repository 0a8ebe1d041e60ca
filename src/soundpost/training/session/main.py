"""Arguments in, status out: one session of a training kernel, which ends well however far it came.

What an earlier session left is taken over first. Until that is done a run ends with an error where it cannot go on,
because Kaggle hands the output of the latest run that ended well to the next one; from then on it ends with 0.
"""

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence

from soundpost.contest.inputs import refuse_empty
from soundpost.errors import KitError, SettingsError, sentence
from soundpost.exit_status import STATUS_OK, STATUS_REFUSED
from soundpost.resources.streams import put
from soundpost.training.duration import seconds_of
from soundpost.training.session.earlier import take_over
from soundpost.training.session.ending import leave, mark
from soundpost.training.session.guard import Guard
from soundpost.training.session.options import parse
from soundpost.training.session.session import Found, Session

PREFIX = "soundpost-training-"  # begins the scratch folder's name
RESERVE_SHARE, RESERVE_SECONDS = (
    0.1,
    600.0,
)  # share of the limit, and most seconds: for what has to end after the last step


def main(
    argv: Sequence[str] | None = None, settings: Mapping[str, object] | None = None, prog: str = "train_kernel.py"
) -> int:
    """One session from the command line, or from the settings block of a kernel.

    Args:
        argv: without the program's name; None: of this process.
        settings: defaults for the options, by their long names; None values are no defaults.
        prog: what the program is called in its help.

    Returns:
        The exit status, see the end of --help.
    """
    began = time.monotonic()
    try:
        options = parse(argv, settings or {}, prog)
        with tempfile.TemporaryDirectory("", PREFIX, options.scratch, ignore_cleanup_errors=True) as scratch:
            session = _session(options, began, scratch)
            refuse_empty(options.input_root)
            number = take_over(options.input_root, options.out, put) + 1
            mark(options.out, number)
            return _ended(session, number, began)
    except KitError as error:
        put(f"error: {error}")
        return STATUS_REFUSED


def _session(options: argparse.Namespace, began: float, scratch: str) -> Session:
    limit = seconds_of(options.limit)
    if options.epochs < 0:
        raise SettingsError(f"--epochs {options.epochs}: at least 1 is needed.")
    options.out.mkdir(parents=True, exist_ok=True)
    return Session(
        plans=str(options.plans.absolute()),
        out=str(options.out.absolute()),
        scratch=scratch,
        input_root=str(options.input_root.absolute()),
        competition=options.competition,
        given={name: text for name in ("curated", "noisy") if (text := getattr(options, name))},
        start=options.start,
        device=options.device,
        folds=tuple(filter(None, options.folds.split(","))),
        epochs=options.epochs,
        seed=options.seed,
        save_every=seconds_of(options.save_every, "--save-every"),
        pause_at=began + limit - min(RESERVE_SECONDS, RESERVE_SHARE * limit),
        ends=began + limit,
    )


def _ended(session: Session, number: int, began: float) -> int:
    """Train, whatever comes of it, and say how it stands."""
    guard = Guard(session, put)
    found: Found | None = None
    trouble = ""
    with guard.signals():
        try:
            found = guard.look()
            for plan, reason in found.refused.items():
                put(f"error: {plan}: {reason}")
            guard.run(found.jobs(session), found.devices)
        except KitError as error:
            trouble = str(error)
            put(f"error: {trouble}")
        except Exception as error:
            trouble = sentence(error)
            put(traceback.format_exc())
        if guard.outcome.signal:
            put(f"ended early by signal {guard.outcome.signal}")
        put(f"session {number} ended after {time.monotonic() - began:,.0f} s")
        try:
            lines = leave(session, number, found, guard.outcome.reasons, trouble)
        except OSError as error:
            lines = [f"the end could not be written down ({error.strerror}); next: make room and push again"]
        for line in lines:
            put(line)
    return STATUS_OK


if __name__ == "__main__":
    sys.exit(main())
