"""What the training benchmarks share: labelled clips, members trained from a plan's table, results that are kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import ROOT
from safetensors.torch import load_file
from torch import nn

from soundpost.training.clips import Source, read_clips
from soundpost.training.inputs.material import Shared
from soundpost.training.plan import plan_of
from soundpost.training.train import Campaign

DATA = ROOT.parent / "shared" / "data"
ESC10 = Source(DATA / "esc10" / "clips.csv", DATA / "esc10" / "clips")  # folds 1 to 4
OUT = ROOT / "runs" / "training"


def campaign(
    table: Mapping[str, Any],
    given: Mapping[str, Source],
    out: Path,
    seed: int = 0,
    features: Path | None = None,
) -> Campaign:
    """Members of a plan in the making; each goes on where it stood.

    Args:
        table: the plan's, as in a training.toml.
        given: "curated" and, where the plan has it, "noisy".
        out: folder of members, histories and checkpoints; maps of corrections are looked for there.
        seed: decides everything random.
        features: folder of spectrograms and waveforms, so that several trainings share them; default: in out.
    """
    plan = plan_of({**table, "name": out.name}, str(out))
    clips = read_clips(plan, given, out)
    shared = Shared(plan, clips, torch.device("cpu"), features or out / "features")
    return Campaign(shared, out, seed)


def member(made: Campaign, fold: str) -> nn.Module:
    """The network of a fold, trained if it was not, in evaluation mode."""
    arrays = load_file(made.member(fold))
    network = made.fresh_network()
    network.load_state_dict(arrays)
    return network.eval()


def out_of_fold(made: Campaign) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities by the first view, (clips, classes) each, by the members that never heard a clip."""
    clips = made.shared.clips
    held_out = np.zeros(clips.table.truth.shape)
    for fold in made.folds:
        rows = [row for row in clips.scored if clips.folds[row] == fold]
        places = [clips.scored.index(row) for row in rows]
        held_out[places] = made.answers(member(made, fold), rows)
    return clips.table.truth, held_out


def keep(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".part")
    aside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    aside.replace(path)


def known(path: Path) -> dict[str, Any] | None:
    """A result that was kept before."""
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found
