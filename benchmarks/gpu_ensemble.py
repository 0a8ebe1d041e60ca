"""argus's whole ensemble, 35 networks and 15 over them with drawn weights, through a run of the kit on one device."""

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from measuring import make_clips, run

from soundpost.importers.recipe_files import TEMPLATES, ImportedMember, template, write_imported
from soundpost.training.recipe_fit import make_network

HIDDEN_CLIPS = 3361  # clips of Freesound 2019's hidden set
MEAN_SECONDS = 10.4  # how long a clip is there
FOLDS = 5
FIRST: dict[str, dict[str, Any]] = {  # recipe -> changes of the argus template, as docs/systems.md has the ensemble
    "auxiliary_016": {},
    "auxiliary_019": {},
    "corr_noisy_003": {"name": "argus_rnn_aux_skip_attention"},
    "corr_noisy_004": {},
    "corr_noisy_007": {},
    "corrections_002": {"name": "argus_skip_attention", "dropout": 0.2, "last_fc": 2},
    "corrections_003": {"name": "argus_skip_attention", "dropout": 0.2, "last_fc": 2, "kernel_size": 3},
}
SECOND: dict[str, dict[str, Any]] = {
    "stacking_008_fcnet_43040": {"in_channels": 560, "reduction_scale": 16, "p_dropout": 0.0514108720891856},
    "stacking_008_fcnet_45041": {"in_channels": 560, "reduction_scale": 2, "p_dropout": 0.48357033916143033},
    "stacking_008_fcnet_50013": {"in_channels": 560, "reduction_scale": 1, "p_dropout": 0.1662788540244386},
}


def write_ensemble(folder: Path, labels: tuple[str, ...], small: bool) -> None:
    """The published submission with drawn weights; five folds of a recipe differ in name alone."""
    for kind, recipes in (("argus", FIRST), ("argus_second_level", SECOND)):
        for name, changes in recipes.items():
            table = template(kind)
            table["model"] = {**table["model"], **changes}
            if small:
                table["model"]["base_size"] = 4 if kind == "argus" else 8
            torch.manual_seed(len(name))
            state = make_network(table, len(labels)).state_dict()
            members = [ImportedMember(str(fold), state) for fold in range(FOLDS)]
            write_imported(folder / name, name, table, labels, members)
    (folder / "submission.toml").write_text((TEMPLATES / "submissions/argus.toml").read_text())


def labels_of_contest() -> tuple[str, ...]:
    """The 80 classes of Freesound 2019."""
    lines = (TEMPLATES / "fsdkaggle2019.txt").read_text().splitlines()
    return tuple(line for line in lines if line.strip() and not line.startswith("#"))


def ensemble(name: str, small: bool) -> dict[str, Any]:
    """Seconds of a whole run, of the bare forward passes in it, and for the hidden set."""
    count = 3 if small else 300
    labels = labels_of_contest()
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        sample = make_clips(folder, count, 1.0 if small else MEAN_SECONDS)
        rows = [line.split(",")[0] for line in sample.read_text().splitlines()[1:]]
        sample.write_text("\n".join([",".join(["fname", *labels]), *(",".join([r] + ["0"] * 80) for r in rows)]) + "\n")
        write_ensemble(folder / "weights", labels, small)
        command = [sys.executable, "-m", "soundpost.launch.main", "--assets", str(folder / "weights")]
        command += ["--test-dir", str(folder / "test"), "--sample-submission", str(sample), "--device", name]
        command += ["--out", str(folder / "submission.csv"), "--time-limit", "400"]
        started = time.perf_counter()
        usage = run(command)
        wall = time.perf_counter() - started
    if usage.status:
        raise RuntimeError(f"the run ended with status {usage.status}: {usage.output[-500:]}")
    predicted = re.search(r"(\d[\d,]*) of (\d[\d,]*) clips predicted", usage.output)
    started_up = re.search(r"start (\d[\d.]*) s", usage.output)
    forward = re.search(r"forward \(lanes\) (\d[\d.]*)", usage.output)
    found: dict[str, Any] = {"clips": count, "networks": FOLDS * (len(FIRST) + len(SECOND)), "run s": round(wall, 1)}
    found["predicted"] = predicted.group(0) if predicted else "not told"
    start = float(started_up.group(1)) if started_up else 0.0
    hidden = start + (wall - start) * HIDDEN_CLIPS / count
    found[f"s for {HIDDEN_CLIPS:,} clips, by the share of this run"] = round(hidden)
    if forward and float(forward.group(1)):
        found["run over the lanes' own seconds"] = round(wall / float(forward.group(1)), 2)
    found["peak MB"] = round(usage.peak_bytes / 1e6)
    return found
