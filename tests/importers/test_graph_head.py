"""Heads on ONNX files of others: a public notebook's network with embeddings and a small head, told in data alone."""

import csv
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
import tomli_w
import torch
from conftest import LABELS, RATE, RecordingMaker, SettingsMaker
from onnx import helper
from onnx_graphs import graph_bytes
from torch import nn

from soundpost.engine.run import run
from soundpost.errors import SettingsError, WeightsError
from soundpost.importers.__main__ import main
from soundpost.importers.graph_head import layers_of, with_columns, with_head
from soundpost.importers.species import Species, map_species

WINDOW = 5 * RATE  # samples
SPECIES = ("Rana alba", "Rana nigra", "Parus major", "speech", "Canis lupus", "Cicada orni")  # what the network knows
WIDTH = 8  # numbers in an embedding


def vocalizations(opset: int = 17) -> bytes:
    """A network of the public kind: one window of samples a row in, logits of many species and an embedding out."""
    random = np.random.default_rng(1)
    nodes = [
        helper.make_node("Reshape", ["inputs", "shape"], ["lines"]),
        helper.make_node("Conv", ["lines", "kernels"], ["bands"], strides=[400]),
        helper.make_node("Relu", ["bands"], ["loud"]),
        helper.make_node("GlobalAveragePool", ["loud"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "classes"], ["label"]),
    ]
    constants = {
        "shape": np.array([-1, 1, WINDOW]),
        "kernels": random.normal(0, 0.3, (WIDTH, 1, 400)).astype(np.float32),
        "classes": random.normal(0, 3, (WIDTH, len(SPECIES))).astype(np.float32),
    }
    outputs = {"label": ("batch", len(SPECIES)), "embedding": ("batch", WIDTH)}
    data = graph_bytes(nodes, {"inputs": ("batch", WINDOW)}, outputs, constants)
    if opset != 17:
        import onnx

        model = onnx.load_model_from_string(data)
        model.opset_import[0].version = opset
        data = model.SerializeToString()
    return data


def asked(data: bytes, windows: np.ndarray, output: str) -> np.ndarray:
    """What a graph says of windows (rows, samples), by the runtime itself."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (answer,) = session.run([output], {"inputs": windows})
    return answer


@pytest.fixture
def noise() -> np.ndarray:
    """Three windows of different loudness."""
    windows = np.random.default_rng(2).normal(0, 1, (3, WINDOW)) * np.array([[0.1], [0.4], [0.9]])
    return windows.astype(np.float32)


@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh", "none"])
def test_layers_on_an_embedding_give_what_torch_gives(activation: str, tmp_path: Path, noise: np.ndarray) -> None:
    """Linear layers with an activation between them, on one output of a file that had two."""
    path = tmp_path / "network.onnx"
    path.write_bytes(vocalizations())
    between = {"relu": nn.ReLU(), "gelu": nn.GELU(), "tanh": nn.Tanh(), "none": nn.Identity()}[activation]
    head = nn.Sequential(nn.Linear(WIDTH, 5), between, nn.Linear(5, 4))
    data = with_head(path, "embedding", layers_of(head.state_dict(), "head"), activation)
    expected = head(torch.from_numpy(asked(path.read_bytes(), noise, "embedding"))).detach().numpy()
    np.testing.assert_allclose(expected, asked(data, noise, "columns"), atol=1e-5)
    assert np.ptp(expected, axis=0).min() > 1e-3


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_columns_of_species_are_those_of_the_map(opset: int, tmp_path: Path, noise: np.ndarray) -> None:
    """By name, by genus, or 0, divided by the group's temperature; in files of old and new operators."""
    path = tmp_path / "network.onnx"
    path.write_bytes(vocalizations(opset))
    columns = [
        Species("1e5", "Parus major", "Aves"),
        Species("0012", "Rana rubra", "Amphibia"),
        Species("nan", "Felis catus", "Mammalia"),
        Species("cicorn1", "Cicada orni", "Insecta"),
    ]
    found = map_species(SPECIES, columns)
    data = with_columns(path, "label", found, [each.temperature for each in columns])
    logits = asked(path.read_bytes(), noise, "label")
    expected = found.logits(logits) / np.array([each.temperature for each in columns])
    np.testing.assert_allclose(expected, asked(data, noise, "columns"), atol=1e-5)
    np.testing.assert_allclose(expected[:, 1], logits[:, :2].max(axis=1) / 0.95, atol=1e-5)
    assert (expected[:, 2] == 0).all()


def test_pipeline_of_embeddings_and_a_small_head_is_a_recipe_without_a_line_of_code(
    tmp_path: Path, make_recordings: RecordingMaker, make_settings: SettingsMaker
) -> None:
    """Network and head as files, the rest in toml: a run's rows are sigmoids of the head's logits, smoothed after."""
    weights = tmp_path / "weights"
    weights.mkdir()
    torch.manual_seed(3)
    head = nn.Sequential(nn.Linear(WIDTH, 6), nn.ReLU(), nn.Linear(6, len(LABELS)))
    with torch.no_grad():
        head[2].weight.mul_(40)
    torch.save(head.state_dict(), tmp_path / "head.pt")
    (tmp_path / "network.onnx").write_bytes(vocalizations())
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    settings = {
        "audio": {"sample_rate": RATE},
        "front_end": {"name": "waveform"},
        "views": [{"name": "fixed_windows", "frames": WINDOW}],
        "model": {"name": "onnx", "output": "columns", "axes": ["batch", "frames"]},
    }
    (tmp_path / "voc.toml").write_text(tomli_w.dumps(settings))
    joined = str(tmp_path / "joined.onnx")
    options = ["--on", "embedding", "--head", str(tmp_path / "head.pt"), "--out", joined]
    assert main(["head", str(tmp_path / "network.onnx"), *options]) == 0
    options = ["--recipe", "voc", "--settings", str(tmp_path / "voc.toml"), "--labels", str(tmp_path / "labels.txt")]
    assert main(["add", "--onnx", joined, *options, "--weights", str(weights), "--only"]) == 0
    with (weights / "submission.toml").open("a") as file:
        file.write('\n[[after]]\nname = "kernel"\nweights = [0.2, 0.6, 0.2]\n')
    contest = make_recordings({"c": 20.3})

    made = make_settings(weights, contest)
    assert run(made) == 0

    samples, _ = soundfile.read(contest / "test" / "c.wav", dtype="float32")
    windows = samples[: 4 * WINDOW].reshape(4, WINDOW)
    embeddings = torch.from_numpy(asked(vocalizations(), windows, "embedding"))
    p = head(embeddings).sigmoid().detach().numpy()
    padded = np.concatenate([p[:1], p, p[-1:]])
    expected = 0.2 * padded[:-2] + 0.6 * padded[1:-1] + 0.2 * padded[2:]
    with Path(made.out).open(newline="") as file:
        found = np.array([line[1:] for line in list(csv.reader(file))[1:]], float)
    np.testing.assert_allclose(expected, found, atol=1e-5)
    assert np.ptp(p, axis=0).max() > 1e-3


def test_species_command_fills_the_columns_of_a_sample(
    tmp_path: Path, noise: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, taxonomy and sample as the contest has them, columns that look like numbers among them."""
    (tmp_path / "network.onnx").write_bytes(vocalizations())
    (tmp_path / "names.txt").write_text("\n".join(SPECIES))
    lines = ["primary_label,scientific_name,class_name", "1e5,Parus major,Aves", "0012,Rana rubra,Amphibia"]
    (tmp_path / "taxonomy.csv").write_text("\n".join(lines))
    (tmp_path / "sample_submission.csv").write_text("row_id,0012,1e5,nan\nr_5,0,0,0\n")
    options = ["--on", "label", "--species", str(tmp_path / "names.txt"), "--taxonomy", str(tmp_path / "taxonomy.csv")]
    options += ["--sample", str(tmp_path / "sample_submission.csv"), "--out", str(tmp_path / "joined.onnx")]
    assert main(["head", str(tmp_path / "network.onnx"), *options]) == 0
    assert "3 columns, 1 by their species, 1 by their genus, the others 0" in capsys.readouterr().out
    found = asked((tmp_path / "joined.onnx").read_bytes(), noise, "columns")
    logits = asked(vocalizations(), noise, "label")
    np.testing.assert_allclose(logits[:, 2] / 1.1, found[:, 1], atol=1e-5)
    assert (found[:, 2] == 0).all()


def test_head_that_does_not_fit_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Another output, other layers, layers that do not fit each other, or the graph."""
    path = tmp_path / "network.onnx"
    path.write_bytes(vocalizations())
    fits = [(np.zeros((4, WIDTH)), np.zeros(4))]
    with pytest.raises(SettingsError, match="it has label, embedding"):
        with_head(path, "embeddings", fits, "relu")
    with pytest.raises(SettingsError, match="known: relu, gelu, tanh, none"):
        with_head(path, "embedding", fits, "swish")
    with pytest.raises(WeightsError, match="gives 4 values and the next takes 5"):
        with_head(path, "embedding", [*fits, (np.zeros((2, 5)), np.zeros(2))], "relu")
    with pytest.raises(WeightsError, match="takes as many values as the output has"):
        with_head(path, "embedding", [(np.zeros((4, 9)), np.zeros(4))], "relu")
    with pytest.raises(WeightsError, match=r"norm\.running_mean is no linear layer"):
        layers_of({"norm.running_mean": np.zeros(3)}, "head.pt")
