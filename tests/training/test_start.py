"""--start: a training begins with the weights of another one, whichever command wrote them."""

import csv
import tomllib
from pathlib import Path

import numpy as np
import soundfile
import tomli_w
import torch
from safetensors.torch import load_file

from soundpost.training import fit

COMPACT = Path(__file__).resolve().parents[2] / "weights" / "compact"  # written by `soundpost train`


def test_recipe_fit_starts_with_the_weights_that_come_with_soundpost(tmp_path: Path) -> None:
    """With next to no learning rate each member keeps the arrays of the same fold, under the same file name."""
    template = tomllib.loads((COMPACT / "recipe.toml").read_text("utf-8"))
    kept = {"audio", "front_end", "model", "activation", "average"} & set(template)
    template = {key: template[key] for key in sorted(kept)}
    (tmp_path / "template.toml").write_text(tomli_w.dumps({**template, "views": [{"name": "whole"}]}), "utf-8")
    random = np.random.default_rng(0)
    rows: list[list[object]] = [["fname", "labels", "fold"]]
    for number in range(4):
        soundfile.write(tmp_path / f"{number}.wav", 0.1 * random.standard_normal(22050), 44100)
        rows.append([f"{number}.wav", "high" if number % 2 else "low", 1 + number // 2])
    with (tmp_path / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    where = ["--clips", str(tmp_path), "--csv", str(tmp_path / "clips.csv"), "--out", str(tmp_path / "further")]
    where += ["--start", str(COMPACT), str(tmp_path / "template.toml")]

    status = fit.main([*where, "--epochs", "1", "--batch", "2", "--learning-rate", "1e-12", "--device", "cpu"])

    assert status == 0
    first, second = (load_file(tmp_path / "further" / f"fold{fold}.safetensors")["stem.weight"] for fold in "12")
    torch.testing.assert_close(first, load_file(COMPACT / "fold1.safetensors")["stem.weight"].float())
    torch.testing.assert_close(second, load_file(COMPACT / "fold2.safetensors")["stem.weight"].float())
    assert not torch.allclose(first, second)
