"""What one run is asked to do, as frozen data; and how a person writes its quantities (55m, 12G)."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from soundpost.errors import SettingsError

TIME_LIMIT_SECONDS = 55 * 60.0  # a run that is told no other limit takes this long; contests give an hour
TIME_LIMIT = f"{TIME_LIMIT_SECONDS / 60:g}m"  # the same as a person writes it
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+"
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {
    "": 1,
    "b": 1,
    "k": 1000,
    "m": 10**6,
    "g": 10**9,
    "kb": 1000,
    "mb": 10**6,
    "gb": 10**9,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}


@dataclass(frozen=True)
class RunSettings:
    """Everything the engine needs to know; plain values only, so that it travels as JSON."""

    assets: str  # folder that holds submission.toml, the recipes and the weights
    test_dir: str  # folder of the clips
    sample_submission: str  # csv whose rows and columns the submission repeats; "" when there is none
    out: str  # submission.csv to write
    scratch: str  # private folder of this run; removed at its end
    is_named: bool = False  # whether a person named test_dir, so that other clips than the rows' are a slip there
    may_be_hidden: bool = True  # whether the rows' clips may come later, as Kaggle's hidden ones do
    input_root: str = "/kaggle/input"  # where datasets of weights are attached
    time_limit_seconds: float = TIME_LIMIT_SECONDS  # from started to the exit of the last process
    started: float = 0.0  # time.monotonic() when the limit began to count; 0: when the engine starts
    engine_started: float = 0.0  # time.monotonic() when the process of this engine began; 0: with the limit
    write_seconds: float = 0.0  # how long the first submission took to write
    memory_limit_bytes: int = 0  # what the whole process tree may take, shared pages once; 0: what the machine allows
    cache_memory_bytes: int = 0  # what spectrograms in shared memory may take; 0: what the memory limit leaves
    disk_limit_bytes: int = 0  # what spilled spectrograms may take; 0: half of what is free
    device: str = "auto"  # "auto", "cpu", "cuda", or several with commas: "cuda:0,cuda:1"
    precision: str = "auto"  # "auto", "float32", "float16", "bfloat16"
    packages: str = ""  # folder of installed runtimes that the engine puts on its path
    backend: str = "auto"  # what computes networks on cores: "auto", "torch", "onnxruntime", "openvino"
    cache_dtype: str = "float32"  # "float32" or "float16"
    workers: int = 0  # processes that decode and compute features; 0: by the cores
    start_method: str = "auto"  # how workers are started: "auto", "fork", "spawn"
    views: int = 0  # view sets of each recipe to use, the cheapest first; 0: all
    members: tuple[str, ...] = ()  # names recipe/fold to use; empty: all
    progress: str = "auto"  # "auto", "bar", "lines", "quiet"
    dry_run: bool = False  # measure the first pass of each recipe and foretell, instead of answering
    expect_clips: int = 0  # clips that a dry run foretells; 0: three times this folder's
    expect_seconds: float = 0.0  # s, a clip's mean length in a dry run's forecast; 0: this folder's
    as_machine: str = ""  # the machine that a dry run foretells, see named_machines; "": this one
    attempt: int = 0  # how often an engine of this run has died before
    supervisor_pid: int = 0

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)

    @staticmethod
    def from_json(table: dict[str, Any]) -> "RunSettings":
        """The settings that to_json wrote."""
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        return RunSettings(**values)


def parse_seconds(text: str | float, name: str) -> float:
    """Seconds from "90", "90s", "55m", "1.5h"; thousands may be set off by commas, as they are in messages.

    Raises:
        SettingsError: anything else, or a duration that is not positive.
    """
    return _parse(str(text), _SECONDS, name, "55m, 90s, 1.5h")


def parse_bytes(text: str | float, name: str) -> int:
    """Bytes from "12G" (10^9), "800M", "1,035M", "1GiB" (2^30).

    Raises:
        SettingsError: anything else, or a size that is not positive.
    """
    return int(_parse(str(text), _BYTES, name, "12G, 800M, 2GiB"))


def _parse(text: str, units: dict[str, Any], name: str, examples: str) -> float:
    match = re.fullmatch(rf"\s*({_NUMBER})\s*([a-zA-Z]*)\s*", text)
    if not match or match[2].lower() not in units:
        raise SettingsError(f"--{name} {text!r} is not understood. Write it like {examples}.")
    value = float(match[1].replace(",", "")) * units[match[2].lower()]
    if value <= 0:
        raise SettingsError(f"--{name} {text!r} is not positive. Write it like {examples}.")
    return value
