"""Everything that the processes of one session share, as data that travels in a JSON file."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundpost.ensemble.recipe_folder import OUT_OF_FOLD, fold_file

WEIGHTS = "weights"  # folder of the output in which every plan has its own
PLAN_FILE, FOLDS_FILE = "training.toml", "folds.toml"  # in a plan's folder of the kernel
STATUS_PAUSED = 4  # how a worker ends that had to stop before it was done


@dataclass(frozen=True)
class Session:
    """What was asked for, and where things lie."""

    plans: str  # folder with one folder for each plan
    out: str  # the working folder, which is kept
    scratch: str  # what is not kept: features, tables, messages
    input_root: str
    competition: str = ""
    given: Mapping[str, str] = field(default_factory=dict)  # "curated", "noisy" -> CSV:DIR inside the mount
    start: str = ""  # what members begin with, by its name inside the mount; empty: nothing
    device: str = "auto"
    folds: tuple[str, ...] = ()  # members to train; empty: all
    epochs: int = 0  # in every stage; 0: the plan's
    seed: int = 0
    save_every: float = 60.0  # s
    pause_at: float = 0.0  # s, of the monotonic clock
    ends: float = 0.0  # s, of the monotonic clock

    def to_json(self) -> dict[str, Any]:
        """As a table."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(table: Mapping[str, Any]) -> "Session":
        """From a table."""
        return Session(**{**table, "folds": tuple(table["folds"])})

    def folder(self, plan: str) -> Path:
        """Where a plan's weights lie."""
        return Path(self.out) / WEIGHTS / plan


@dataclass(frozen=True)
class Job:
    """What one process does: a member of a plan, or, without a fold, the scores of all of them."""

    plan: str
    fold: str = ""

    @property
    def name(self) -> str:
        """For people: plan/fold."""
        return f"{self.plan}/{self.fold}" if self.fold else f"scores of {self.plan}"

    def is_done(self, session: Session) -> bool:
        """Whether what it makes is there."""
        folder = session.folder(self.plan)
        return fold_file(folder, self.fold).is_file() if self.fold else (folder / OUT_OF_FOLD).is_file()


@dataclass(frozen=True)
class Found:
    """What a first look has found: devices, and what there is to do, with reasons where nothing can be done."""

    devices: tuple[str, ...]
    folds: Mapping[str, tuple[str, ...]]  # plan -> its members
    unscored: tuple[str, ...]  # plans whose scores are to be told when all members are there
    refused: Mapping[str, str]  # plan -> why it cannot be trained

    def to_json(self) -> dict[str, Any]:
        """As a table."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(table: Mapping[str, Any]) -> "Found":
        """From a table."""
        folds = {plan: tuple(names) for plan, names in table["folds"].items()}
        return Found(tuple(table["devices"]), folds, tuple(table["unscored"]), table["refused"])

    def jobs(self, session: Session) -> list[Job]:
        """Everything that is left to do, members of a plan before its scores, one plan after the other."""
        left = []
        for plan, folds in self.folds.items():
            left += [job for fold in folds if not (job := Job(plan, fold)).is_done(session)]
            if plan in self.unscored:
                left.append(Job(plan))
        return left
