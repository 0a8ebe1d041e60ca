"""What only a machine with a GPU can tell, as one page: `make gpu`, or python benchmarks/gpu.py [--device cpu --small].

Each section is a process of its own with a limit of its own, so that one that breaks its device costs itself alone.
With --device cpu --small the figures mean nothing: that run shows that the command works. Sections:

    device     what is there, whether it computes, how long it takes to start
    parity     every network and front end against float32 on the CPU: largest change of a probability or value
    idle       a lane with argus's tiles beside the bare forward passes of the same batches
    ensemble   argus's 35 + 15 networks over made clips; seconds for 3,361 clips, and the ratio to bare forward passes
    ways       layouts and precisions of argus's network, and its launch alone, by the size of the batch
    shapes     what a length costs that was never seen
    failures   runs whose engine is killed, whose device breaks or hangs; a batch without room
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from gpu_ensemble import ensemble
from gpu_failures import failures
from gpu_networks import batch_of, predictor_of, wait
from gpu_ways import shapes, tf32, ways

from soundpost.engine.batching import Unit
from soundpost.engine.lanes import Job, Lane, Results
from soundpost.errors import KitError
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.recipe_files import TEMPLATES, template
from soundpost.inference.devices import trouble
from soundpost.registry import build
from soundpost.spectrograms.cache import slots
from soundpost.spectrograms.cache.slots import Slot
from soundpost.views.view import Window

LIMIT_SECONDS = {"device": 90, "parity": 240, "idle": 120, "ensemble": 420, "ways": 180, "shapes": 90, "failures": 300}
ON_CORES = 3  # times these on a processor, where no device time is spent
PRECISIONS = ("float32", "tf32", "float16", "bfloat16")
SMALL_NETWORKS = ("erc2019_m0", "ex4sperans_1d")
SLOW_FRONT_ENDS = ("reassigned_picture",)  # minutes on a core
Section = Callable[[str, bool], dict[str, Any]]


def device(name: str, _small: bool) -> dict[str, Any]:
    """Whether the device computes, and what it is."""
    started = time.perf_counter()
    reason = trouble(name)
    found: dict[str, Any] = {"torch": torch.__version__, "trouble": reason or "none"}
    found["seconds to start"] = round(time.perf_counter() - started, 2)
    if name != "cpu":
        found["card"] = torch.cuda.get_device_name(name)
        found["memory GB"] = round(torch.cuda.get_device_properties(name).total_memory / 1e9, 1)
    return found


@torch.inference_mode()
def parity(name: str, small: bool) -> dict[str, Any]:
    """Networks in every precision; front ends."""
    found: dict[str, Any] = {}
    names = sorted(path.stem for path in TEMPLATES.glob("*.toml"))
    for network in (n for n in names if template(n)["front_end"]["name"] != "first_level"):
        if small and network not in SMALL_NETWORKS:
            continue
        try:
            batch, view = batch_of(network, 2)
            exact = predictor_of(network, "cpu", "float32")
            reference = exact.probabilities(exact(batch, view))
            row = []
            for precision in PRECISIONS:
                other = predictor_of(network, name, precision.replace("tf32", "float32"))
                inputs = other.prepare(batch, view)
                with tf32() if precision == "tf32" else nullcontext():
                    answers = other.through(other.in_half(inputs), inputs, other.half is not None)
                answers = other.probabilities(answers)
                row.append(f"{float((answers.cpu() - reference).abs().max()):.1e}")
            found[network] = dict(zip(PRECISIONS, row, strict=True))
        except (RuntimeError, KitError) as error:  # one network that fails is a row of the page
            found[network] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    sound = torch.sin(torch.arange(66150) * 0.05)[None] * 0.1
    for front_end_name in sorted(set(FRONT_ENDS) - set(SLOW_FRONT_ENDS)):
        if small and front_end_name != "log_mel":
            continue
        try:
            front_end = build(FRONT_ENDS, front_end_name, {}, "front end")
            change = float((front_end(sound.to(name)).cpu() - front_end(sound)).abs().max())
            found[f"front end {front_end_name}"] = f"{change:.1e}"
        except (RuntimeError, KitError) as error:  # as above
            found[f"front end {front_end_name}"] = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return found


def idle(name: str, small: bool) -> dict[str, Any]:
    """A lane against the bare forward passes."""
    windows, count = (2, 3) if small else (256, 20)
    network = "ex4sperans_1d" if small else "argus"
    predictor = predictor_of(network, name, "float32" if name == "cpu" else "float16")
    batch, view = batch_of(network, windows)
    shape = tuple(batch.shape[1:])
    on_device = batch.to(name)
    for _ in range(2):  # half precision is decided, kernels are warm
        predictor(on_device, view)
    wait(name)
    started = time.perf_counter()
    for _ in range(count):
        predictor(on_device, view)
    wait(name)
    bare = time.perf_counter() - started
    slots.read = lambda *_: batch[0].numpy()  # type: ignore[assignment]
    results = Results()
    lane = Lane(name, None, results)
    units = tuple(Unit(i, 0, shape[-1]) for i in range(windows))
    sources = tuple((Slot("memory", "float32", shape), 0) for _ in units)
    job = Job(_Owner(), predictor, view, units, (Window(0, shape[-1]),) * windows, sources)
    started, given, got = time.perf_counter(), 0, 0
    while got < count:
        while given < count and lane.waiting < 3:
            lane.give(job)
            given += 1
        for _, done in results.take():
            assert not done.error, done.error
            got += 1
        time.sleep(0.0005)
    wall = time.perf_counter() - started
    lane.close()
    return {"bare s": round(bare, 3), "lane s": round(wall, 3), "idle share": round(max(0.0, 1 - bare / wall), 3)}


class _Owner:
    is_over = False

    def came_back(self, units: object) -> None:
        """Nothing is kept."""


SECTIONS: dict[str, Section] = {
    "device": device, "parity": parity, "idle": idle, "ensemble": ensemble, "ways": ways, "shapes": shapes,
    "failures": failures,
}  # fmt: skip


def page(results: dict[str, Any]) -> str:
    """The results as they go into docs/benchmarks.md."""
    lines = [f"## On {results.get('device', {}).get('card', 'a CPU, where these figures mean nothing')}", ""]
    for section, rows in results.items():
        lines += [f"| {section} | |", "|---|---|"]
        for key, value in rows.items():
            cells = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
            lines.append(f"| {key} | {cells} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    """Run the sections and print the page; 1 when a section gave no result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="", help="sections, with commas")
    parser.add_argument("--out", type=Path, help="file for the page")
    parser.add_argument("--section", choices=sorted(SECTIONS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.section:
        print(json.dumps(SECTIONS[options.section](options.device, options.small)), flush=True)
        os._exit(0)  # a device that is broken must not hold up the end
    results: dict[str, Any] = {}
    for name in options.only.split(",") if options.only else SECTIONS:
        command = [sys.executable, __file__, "--section", name, "--device", options.device]
        command += ["--small"] if options.small else []
        limit = LIMIT_SECONDS[name] * (ON_CORES if options.device == "cpu" else 1)
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=True)
            results[name] = json.loads(ended.stdout.splitlines()[-1])
        except subprocess.TimeoutExpired:
            results[name] = {"no result": f"took more than {limit} s"}
        except subprocess.CalledProcessError as error:
            results[name] = {"no result": (error.stderr.strip().splitlines() or ["no word"])[-1][:300]}
    text = page(results)
    print(text)
    if options.out:
        options.out.write_text(text)
    return int(any("no result" in rows for rows in results.values()))


if __name__ == "__main__":
    sys.exit(main())
