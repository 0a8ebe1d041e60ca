"""run.json: what a run did, kept beside its submission.csv for `soundpost report`.

It is one JSON object of format 1. The supervisor gathers it from the engine's events and writes it first and last, so
that it is there, and no older run's, whatever became of the engine:

    format, soundpost, status           1, the version, the exit status (null: it goes on, or was killed)
    settings                            what was asked for, see soundpost.settings
    engines                             how many were started
    seconds                             of the clock, in all
    ready                               devices, workers, memory_limit_bytes, members, blend
    passes                              name, members, clips (or stretches of recordings: unit), done, begin, end (s;
                                        null: never ended), complete
    lanes                               [lane, begin, end, windows], batches close to each other told as one
    samples                             [s, bytes of all processes, bytes of spectrograms in memory, on disk, answers]
    writes                              [s, clips, or rows that are windows, answered in the submission then written]
    ended                               the report: answered, rows, what these are (unit: clips, or rows that are
                                        windows), seconds by stage, missing, mended, silent, ...

What the engine did not live to tell is missing or empty.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import soundpost
from soundpost.settings import RunSettings

NAME = "run.json"
FORMAT = 1
INTERNAL = ("scratch", "started", "engine_started", "write_seconds", "attempt", "supervisor_pid")  # settings of one run
MOST_ROWS = 1000  # for samples, lanes and writes each; beyond it every second one goes


class RunRecord:
    """What is known of a run so far.

    Args:
        settings: what the run was asked for.
    """

    def __init__(self, settings: RunSettings) -> None:
        asked = settings.to_json()
        for internal in INTERNAL:
            asked.pop(internal, None)
        self.path = Path(settings.out).with_name(NAME)
        self.trouble = ""  # why the latest write failed
        self._table: dict[str, Any] = {
            "format": FORMAT,
            "soundpost": soundpost.__version__,
            "status": None,
            "settings": asked,
        }
        self._table |= {"engines": 0, "seconds": 0.0, "ready": {}, "passes": []}
        self._table |= {"lanes": [], "samples": [], "writes": [], "ended": {}}

    @property
    def table(self) -> Mapping[str, Any]:
        """What is known so far, as it is written."""
        return self._table

    def engine_started(self) -> None:
        """Another engine goes to work."""
        self._table["engines"] += 1

    def heard(self, event: dict[str, Any]) -> None:
        """An event of the engine; one of a kind that is not known is left aside."""
        facts = {key: value for key, value in event.items() if key not in ("event", "kind")}
        match event.get("kind", event["event"]):
            case "wrote":
                self._append("writes", [event.get("at"), event["answered"]])
            case "ready" | "ended" as kind:
                self._table[kind] = facts
            case "pass":
                self._table["passes"].append(facts)
            case "pass_ended":
                if self._table["passes"]:
                    self._table["passes"][-1] |= facts
            case "lane":
                self._append("lanes", event["row"])
            case "sample":
                self._append("samples", event["row"])

    def write(self, status: int | None, seconds: float) -> None:
        """Replace run.json, or say in trouble why that was not possible. A run never fails for it.

        Args:
            status: how the run ended; None: it goes on.
            seconds: what the clock says since the start.
        """
        self._table |= {"status": status, "seconds": round(seconds, 2)}
        aside = self.path.with_name(NAME + ".part")
        try:
            aside.write_text(json.dumps(self._table), "utf-8")
            aside.replace(self.path)
            self.trouble = ""
        except OSError as error:
            self.trouble = f"could not be written ({error.strerror})"

    def _append(self, name: str, row: list[Any]) -> None:
        rows = self._table[name]
        rows.append(row)
        if len(rows) > MOST_ROWS:
            del rows[1:-1:2]
