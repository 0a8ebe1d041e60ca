"""What the kit makes of a device without room, one that breaks, one that hangs, and of an engine that is killed."""

import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import tomli_w
import torch
from gpu_networks import batch_of, predictor_of
from measuring import make_clips, run

from soundpost.contest.submission import check, read_sample
from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.inference.device_errors import is_broken_device
from soundpost.inference.out_of_memory import answer

LIMIT_SECONDS = 60  # for each injured run; a hang is noticed after a part of it
BINS = 64
INJURED = """# A network that injures its own run once, in its lane.
import os
import signal
import threading
from pathlib import Path

import torch
from torch import nn

LATER = 3  # batches before the injury


class Injured(nn.Module):
    def __init__(self, injury, mark, bins, classes):
        super().__init__()
        self.injury, self.mark, self.calls = injury, Path(mark), 0
        self.layer = nn.Linear(bins, classes)

    def forward(self, batch):
        self.calls += threading.current_thread().name.startswith("lane")
        if self.injury != "none" and self.calls > LATER and not self.mark.exists():
            self.mark.touch()
            if self.injury == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.injury == "hang":
                torch.cuda._sleep(10**13)
            if self.injury == "assert":
                batch[:, :, :, 0][torch.tensor([10**6], device=batch.device)]
        return self.layer(batch.mean((1, 3)))
"""


def failures(name: str, small: bool) -> dict[str, Any]:
    """Real runs that are injured on the way, then one process that has too little device memory."""
    found: dict[str, Any] = {}
    injuries = ("none", "kill") if name == "cpu" else ("none", "kill", "assert", "hang")
    for injury in injuries:
        found[f"run, injury {injury}"] = injured_run(name, injury, 8 if small else 40)
    found |= {"without room": "needs a GPU"} if name == "cpu" else without_room(name)
    return found


def injured_run(name: str, injury: str, clips: int) -> dict[str, Any]:
    """Whether a run that is injured once ends in time with a whole file, and what it says."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        sample = make_clips(folder, clips, 3.0)
        labels = sample.read_text().splitlines()[0].split(",")[1:]
        _write_injured(folder, labels, injury)
        out = folder / "submission.csv"
        command = [sys.executable, "-m", "soundpost.launch.main", "--assets", str(folder / "weights")]
        command += ["--test-dir", str(folder / "test"), "--sample-submission", str(sample), "--device", name]
        ended = run([*command, "--out", str(out), "--time-limit", str(LIMIT_SECONDS)])
        faults = check(out, read_sample(sample, ())) if out.exists() else ["no file"]
        was_injured = (folder / "mark").exists()
    predicted = re.search(r"(\d[\d,]*) of (\d[\d,]*) clips predicted", ended.output)
    return {
        "injured": was_injured,
        "status": ended.status,
        "valid": not faults,
        "in time": ended.wall_seconds <= LIMIT_SECONDS,
        "s": round(ended.wall_seconds, 1),
        "predicted": predicted.group(0) if predicted else "not told",
    }


def _write_injured(folder: Path, labels: list[str], injury: str) -> None:
    layer = torch.nn.Linear(BINS, len(labels))
    arguments = {"injury": injury, "mark": str(folder / "mark"), "bins": BINS, "classes": len(labels)}
    table = {
        "front_end": {"name": "log_mel", "n_mels": BINS},
        "views": [{"name": "whole"}],
        "model": {"name": "own", "file": "injured.py", "attribute": "Injured", "arguments": arguments},
    }
    arrays = {f"network.layer.{key}": value.numpy() for key, value in layer.state_dict().items()}
    write_recipe(folder / "weights/injured", "injured", table, labels, [NewMember("0", arrays)])
    (folder / "weights/injured/injured.py").write_text(INJURED)
    (folder / "weights/submission.toml").write_text(tomli_w.dumps({"format": 1, "recipes": ["injured"]}))


def without_room(name: str) -> dict[str, Any]:
    """A batch that finds a third of the memory it needs; then a device assert, which breaks this process's device."""
    batch, view = batch_of("argus", 8)
    exact = predictor_of("argus", name, "float32")
    expected = exact(batch, view).cpu()
    held = torch.cuda.memory_reserved(name) / torch.cuda.get_device_properties(name).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(max(0.002, held / 3), name)
    answers, losses = answer(exact, view, batch)
    found: dict[str, Any] = {"splits without room": losses.splits, "windows on the CPU": losses.on_cpu}
    found["answers differ by"] = "lost" if answers is None else f"{float((answers.cpu() - expected).abs().max()):.1e}"
    torch.cuda.set_per_process_memory_fraction(1.0, name)
    try:
        torch.zeros(4, device=name)[torch.tensor([99], device=name)]
        torch.cuda.synchronize(name)
        found["device assert"] = "not raised"
    except RuntimeError as error:  # what is wanted
        found["device assert"] = "known as a broken device" if is_broken_device(error) else f"NOT known: {error}"
    return found
