"""Runs over recordings whose windows overlap: networks that share give the rows that they give window by window."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from conftest import LABELS, RATE, RecordingMaker, SettingsMaker
from test_window_injuries import run_here

from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.inference import predictor as predictor_module
from soundpost.inference import shared_windows
from soundpost.inference.shared_windows import Sharing
from soundpost.models import MODELS
from soundpost.registry import build

SHARED = 1e-5  # a probability that is shared differs by at most so much
LINES = {"name": "log_stft", "sample_rate": RATE, "n_fft": 256, "hop_length": 100, "n_mels": 16}
DELTAS = {"name": "log_mel", "sample_rate": RATE, "n_fft": 256, "hop_length": 100, "n_mels": 16, "deltas": 2}
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ex4sperans_1d": ({"blocks": 3, "base": 6, "start": 1, "bins": 16}, LINES),
    "ex4sperans_2d": ({"blocks": 3, "base": 6, "start": 1}, LINES),
    "argus_skip_attention": ({"base_size": 4, "ratio": 4}, {**DELTAS, "top_db": 0.0}),
    "argus_aux_skip_attention": ({"base_size": 4, "ratio": 4}, {**DELTAS, "top_db": 0.0}),
}


def make_weights(folder: Path, name: str, scope: str) -> Path:
    """Two folds of a network with drawn weights, which hears 20 s for each row of 5 s."""
    sizes, front_end = NETWORKS[name]
    members = []
    for fold in ("1", "2"):
        torch.manual_seed(int(fold))
        network = build(MODELS, name, sizes, "model", len(LABELS))
        for module in network.modules():
            if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
                torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        members.append(NewMember(fold, {key: value.numpy() for key, value in network.state_dict().items()}))
    table = {
        "audio": {"sample_rate": RATE},
        "windows": {"context_seconds": 20.0, "scope": scope},
        "front_end": front_end,
        "model": {"name": name, **sizes},
        "views": [{"name": "whole", "max_frames": 5000}],
    }
    folder.mkdir()
    write_recipe(folder / "net", "net", table, list(LABELS), members)
    (folder / "submission.toml").write_text(tomli_w.dumps({"format": 1, "blend": "mean", "recipes": ["net"]}))
    return folder


@pytest.mark.parametrize("scope", ["window", "recording"])
@pytest.mark.parametrize("name", NETWORKS)
def test_rows_of_networks_that_share_are_those_of_every_window_by_itself(
    name: str,
    scope: str,
    tmp_path: Path,
    make_recordings: RecordingMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four hearings of every second become about one, in the engine's own batches; no row moves by more than 1e-5."""
    weights = make_weights(tmp_path / "weights", name, scope)
    contest = make_recordings({"a": 62.0, "b": 5.001, "c": 33.0})
    found: list[Sharing | None] = []

    def watched(*rest: Any) -> Sharing | None:
        found.append(shared_windows.sharing_of(*rest))
        return found[-1]

    monkeypatch.setattr(predictor_module, "sharing_of", watched)
    _, shared = run_here(make_settings(weights, contest))
    assert max(run.count for sharing in found if sharing for run in sharing.runs) >= 4
    monkeypatch.setattr(predictor_module, "can_share", lambda *_: False)
    found.clear()
    _, alone = run_here(make_settings(weights, contest))
    assert found == []
    for row, values in alone.items():
        np.testing.assert_allclose(values, shared[row], atol=SHARED, err_msg=row)
    assert np.std([values for row, values in alone.items() if row.startswith("a_")], axis=0).min() > 10 * SHARED
