"""docs/onnx.md followed through the command: waveform networks become members, a torch member gets a graph."""

import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from onnx import helper
from onnx_graphs import graph_bytes

import soundpost
from soundpost.cli import main
from soundpost.ensemble.weights_folder import find_assets

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "onnx.md").read_text("utf-8")
SAMPLES, RATE = 160_000, 32_000  # what the page's settings ask for
SCIENTIFIC = {"Turdus merula": "eurbla", "Parus major": "gretit1", "Strix aluco": "tawowl1"}  # and columns


def command(words: str) -> list[str]:
    """The one line of the page that begins so, as the shell would cut it, less the word soundpost."""
    (line,) = (line for line in "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines() if words in line)
    program, *arguments = shlex.split(line)
    assert program == "soundpost", line
    return arguments


def bird_network(scale: float) -> bytes:
    """(batch, 160,000) samples -> logits of three birds, and the eight loudnesses that they are made of."""
    weights = np.linspace(-scale, scale, 24, dtype=np.float32).reshape(8, 3)
    nodes = [
        helper.make_node("Mul", ["samples", "samples"], ["squares"]),
        helper.make_node("Reshape", ["squares", "parts"], ["parted"]),
        helper.make_node("ReduceMean", ["parted"], ["embedding"], axes=[2], keepdims=0),
        helper.make_node("MatMul", ["embedding", "weights"], ["logits"]),
    ]
    return graph_bytes(
        nodes,
        {"samples": ("batch", SAMPLES)},
        {"logits": ("batch", 3), "embedding": ("batch", 8)},
        {"parts": np.array([-1, 8, SAMPLES // 8], np.int64), "weights": weights},
    )


def test_page_makes_waveform_networks_members_with_labels_by_scientific_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's own command and settings, a taxonomy as alias table; answers and embedding are numpy's."""
    monkeypatch.chdir(tmp_path)
    for fold in range(2):
        Path(f"fold{fold}.onnx").write_bytes(bird_network(20.0 + fold))
    (settings,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    Path("mine.toml").write_text(settings + 'embedding = "embedding"\n')
    Path("labels.txt").write_text("\n".join(SCIENTIFIC))
    rows = [f"{name},{column}" for name, column in SCIENTIFIC.items()]
    Path("taxonomy.csv").write_text("\n".join(["scientific_name,primary_label", *rows]))
    aliases = re.search(r"--aliases \S+ --alias-columns \S+ \w+", PAGE)[0]

    status = main([*command("add --onnx"), *shlex.split(aliases), "--weights", "weights"])

    assert status == 0, capsys.readouterr().err
    recipe = tomllib.loads(Path("weights/mine/recipe.toml").read_text())
    assert recipe["model"]["axes"] == ["batch", "frames"]
    assert recipe["aliases"] == SCIENTIFIC
    sound = np.random.default_rng(0).normal(0, 0.2, SAMPLES).astype(np.float32) * np.linspace(0, 1, SAMPLES)
    soundfile.write("clip.wav", sound, RATE, subtype="FLOAT")
    loud = (sound.astype(np.float32) ** 2).reshape(8, -1).mean(1)
    shapes = [loud @ np.linspace(-scale, scale, 24).reshape(8, 3) for scale in (20.0, 21.0)]
    tagger = soundpost.load("weights", device="cpu")
    np.testing.assert_allclose(tagger.embed("clip.wav"), loud, rtol=1e-4)
    expected = np.mean([1 / (1 + np.exp(-logits)) for logits in shapes], 0)
    np.testing.assert_allclose(list(tagger.predict("clip.wav").values()), expected, rtol=0, atol=1e-5)


def test_page_s_export_writes_graphs_of_the_members_that_come_with_the_kit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """soundpost import export, on a copy of weights/: a graph beside each fold."""
    shutil.copytree(ROOT / "weights", tmp_path / "weights")

    assert main([*command("import export"), "--weights", str(tmp_path / "weights")]) == 0

    (recipe,) = (r for r in find_assets(tmp_path / "weights").submission.recipes if r.name == "compact")
    assert capsys.readouterr().out.count("answers checked against torch's") == len(recipe.members)
    assert all((tmp_path / "weights/compact" / member.exported.file).is_file() for member in recipe.members)


def test_page_names_no_other_way_to_the_commands() -> None:
    """One name for each command, everywhere that users read."""
    texts = [path for folder in ("docs", "src") for path in (ROOT / folder).rglob("*") if path.suffix in (".md", ".py")]
    texts += [ROOT / "README.md"]
    kept = {"CHANGELOG.md", "files.md", "cli.md"}

    said = [
        path.name for path in texts if path.name not in kept and "-m soundpost.importers" in path.read_text("utf-8")
    ]

    assert said == []
