"""Compiling beside the run: a child process makes a library of a recipe's network, where that pays back in time."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from torch.func import functional_call

from soundpost.assets import find_assets
from soundpost.errors import sentence
from soundpost.folding import logits_of
from soundpost.libraries import DONE, MOST_WINDOWS, described, weights_of
from soundpost.predict import Predictor
from soundpost.registry import pick, settings_from
from soundpost.views import VIEWS
from soundpost.workers import die_with_parent

COMPILE_SECONDS = 45.0  # of one core: 30 for argus's network where nothing else ran, 45 at worst in the issue
COMPILE_BYTES = 2 * 2**30  # of the child and the C++ compiler that it starts
COMPILE_GAIN = 0.05  # of a forward pass that is saved; benchmarks/prediction.py measured 0.03 and 0.05 on two machines
PATIENCE = 8  # times COMPILE_SECONDS on the clock, after which the child is given up


def pays_back(remaining_seconds: float, lanes: int) -> bool:
    """Whether compiling saves twice what it costs.

    Args:
        remaining_seconds: of the clock, of forward passes through the network that there is still time for.
        lanes: cores that predict; the compiler takes the time of one of them.
    """
    return COMPILE_GAIN * (remaining_seconds - COMPILE_SECONDS) > 2 * COMPILE_SECONDS / lanes


class Compiler:
    """At most one child process that compiles, and what came of it.

    Args:
        folder: private, for everything that the compilers write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._child: subprocess.Popen[bytes] | None = None
        self._began = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the child has neither ended nor been stopped."""
        return self._child is not None

    @property
    def pids(self) -> list[int]:
        """Of the child and all that it started."""
        if self._child is None:
            return []
        try:
            return [self._child.pid, *(child.pid for child in psutil.Process(self._child.pid).children(recursive=True))]
        except psutil.Error:
            return [self._child.pid]

    def start(self, **job: Any) -> None:
        """Begin to compile a network; the arguments are those of compile_network() but for the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "TMPDIR": str(self._folder),
            "TORCHINDUCTOR_CACHE_DIR": str(self._folder / "cache"),
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "soundpost.compiling", json.dumps({**job, "folder": str(self._folder)})]
        with (self._folder / "log").open("wb") as log:
            self._child = subprocess.Popen(
                command, env=environment, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._began = time.monotonic()

    def result(self) -> Path | str | None:
        """The folder for Library when it is done, why there is none when it failed, None while it is at work."""
        if self._child is None:
            return None
        status = self._child.poll()
        if status is None and time.monotonic() - self._began < PATIENCE * COMPILE_SECONDS:
            return None
        self.stop()
        if status == 0 and (self._folder / DONE).is_file():
            return self._folder
        lines = (self._folder / "log").read_text("utf-8", "replace").splitlines()
        return "it took too long" if status is None else f"status {status}, {lines[-1] if lines else 'no message'}"

    def stop(self) -> None:
        """Kill the child, if it is still there, with all that it started."""
        for pid in self.pids:
            try:
                psutil.Process(pid).kill()
            except psutil.Error:
                continue
        if self._child is not None:
            self._child.wait()
            self._child = None


def compile_network(
    assets: str, input_root: str, recipe: str, member: str, view: int, shape: Sequence[int], folder: str
) -> None:
    """Compile a member's folded network for the windows of a view; done when DONE lies in the folder.

    Args:
        assets: folder of submission.toml.
        input_root: where datasets are attached.
        recipe: name of the recipe.
        member: name of one of its members.
        view: index in the recipe's views.
        shape: (channels, bins, frames) of any spectrogram of the recipe.
        folder: for the library.
    """
    found = find_assets(Path(assets), input_root=Path(input_root))
    of_recipe = next(r for r in found.submission.recipes if r.name == recipe)
    of_member = next(m for m in of_recipe.members if m.name == member)
    named = of_recipe.views[view]
    view_class = pick(VIEWS, named.name, "view")
    cuts = view_class(settings_from(view_class.Settings, named.settings, "[[views]]"))
    spectrogram = torch.arange(shape[0] * shape[1] * shape[2], dtype=torch.float32).sin().reshape(*shape)
    windows = torch.stack([cuts.cut(spectrogram, cuts.windows(shape[2])[0])] * 2)
    predictor = Predictor(of_recipe, of_member, found.arrays(of_member), "cpu", "float32")
    predictor.rehearse(windows, cuts)
    inputs = predictor.prepare(windows, cuts).clone()
    weights = {name: tensor.clone() for name, tensor in weights_of(predictor.model).items()}
    names = list(weights)

    class Stateless(nn.Module):
        def forward(self, inputs: Tensor, weights: list[Tensor]) -> Tensor:
            return logits_of(functional_call(predictor.model, dict(zip(names, weights, strict=True)), (inputs,)))

    with torch.no_grad():
        count = torch.export.Dim("windows", min=2, max=MOST_WINDOWS)
        shapes = ({0: count}, [None] * len(names))
        program = torch.export.export(Stateless(), (inputs, list(weights.values())), dynamic_shapes=shapes)
        options = {"aot_inductor.output_path": str(Path(folder) / "network.so")}
        path = torch._inductor.aot_compile(program.module(), (inputs, list(weights.values())), options=options)
    told = {"path": str(path), "shape": list(inputs.shape[1:]), "names": described(weights)}
    aside = Path(folder) / "told"
    aside.write_text(json.dumps(told))
    aside.replace(Path(folder) / DONE)


def is_possible() -> bool:
    """Whether there is a C++ compiler."""
    return bool(shutil.which(os.environ.get("CXX", "g++")))


if __name__ == "__main__":
    die_with_parent()
    os.nice(5)
    torch.set_num_threads(1)
    try:
        compile_network(**json.loads(sys.argv[1]))
    except Exception as problem:
        sys.exit(sentence(problem))
