"""Embeddings of members that are ONNX files: an output by name, read by Python, by the archive and by the import."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from archive_runs import tagging
from conftest import LABELS, RATE, ClipMaker, RecipeMaker
from onnx_graphs import CLASSES, embedder, embedder_features, tagger

import soundpost
from soundpost.archive.command import main as tag_main
from soundpost.cli import main
from soundpost.errors import SettingsError, WeightsError
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.importers.add import name_in_submission
from soundpost.importers.onnx_member import add_onnx

LOG_MEL = {"sample_rate": RATE, "n_fft": 512, "hop_length": 256, "n_mels": 16}
TABLE: dict[str, Any] = {"audio": {"sample_rate": RATE}, "front_end": {"name": "log_mel", **LOG_MEL}}
SAME = 2e-5  # relative to the largest feature: another order of sums

Weights = Callable[..., Path]


@pytest.fixture
def make_weights(tmp_path: Path) -> Weights:
    """Makes weights/ of one ONNX member whose [model] is said."""

    def make(graph: bytes | None = None, **model: Any) -> Path:
        (tmp_path / "network.onnx").write_bytes(graph or embedder())
        weights = tmp_path / "weights"
        add_onnx([tmp_path / "network.onnx"], weights, "theirs", {**TABLE, "model": model}, LABELS)
        name_in_submission(weights, "theirs", alone=True)
        return weights

    return make


def by_hand(clips: Path) -> np.ndarray:
    """Features (clips, 6): the kit's front end, then numpy."""
    front_end = LogMel(LogMelSettings(**LOG_MEL))
    waveforms = [soundfile.read(path, dtype="float32")[0] for path in sorted(clips.glob("*.wav"))]
    return np.concatenate([embedder_features(front_end(torch.from_numpy(wave)[None]).numpy()) for wave in waveforms])


@pytest.mark.parametrize(
    ("embedding", "axis"), [("embedding", 1), ("frame_features", 2), ("features_first", 1)], ids=lambda word: str(word)
)
def test_output_by_name_is_the_embedding_of_python_and_archive(
    make_weights: Weights, make_clips: ClipMaker, tmp_path: Path, embedding: str, axis: int
) -> None:
    """A row for each clip, or one for each frame, which are averaged; where its features are is found by length."""
    clips = make_clips() / "test"
    weights = make_weights(output="logits", embedding=embedding)
    tagger_ = soundpost.load(weights, device="cpu")

    found = tagger_.embed(clips)
    archive = tagging(weights, tmp_path)(clips, "--embeddings", "--part", 5)

    expected = by_hand(clips)
    assert f"embedding_axis = {axis}" in (weights / "theirs/recipe.toml").read_text()
    np.testing.assert_allclose(found, expected, rtol=0, atol=SAME * np.abs(expected).max())
    np.testing.assert_allclose(np.stack(archive["embedding"]), expected, rtol=0, atol=SAME * np.abs(expected).max())
    probabilities = 1 / (1 + np.exp(-expected @ CLASSES))
    np.testing.assert_allclose(archive[list(LABELS)], probabilities, rtol=0, atol=1e-4)
    np.testing.assert_allclose(tagger_.predict(clips)[list(LABELS)], probabilities, rtol=0, atol=1e-4)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_frame_wise_answer_and_its_embedding_are_two_outputs_of_one_network(
    make_weights: Weights, make_clips: ClipMaker, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    """The mean over frames of linear logits is the logit of the mean; the vector is what makes it."""
    from soundpost.inference.backends import graph_recipe

    monkeypatch.setattr(graph_recipe, "usable", lambda: (backend,))
    clips = make_clips([0.5, 1.0]) / "test"
    weights = make_weights(output="frame_logits", pooling="mean", embedding="frame_features")
    answers = soundpost.load(weights, device="cpu")

    expected = by_hand(clips)
    np.testing.assert_allclose(answers.embed(clips), expected, rtol=0, atol=SAME * np.abs(expected).max())
    np.testing.assert_allclose(
        answers.predict(clips)[list(LABELS)], 1 / (1 + np.exp(-expected @ CLASSES)), rtol=0, atol=1e-4
    )


def test_soundpost_tag_takes_embeddings_of_an_onnx_member_among_torch_members(
    make_weights: Weights, make_assets: RecipeMaker, make_clips: ClipMaker, tmp_path: Path
) -> None:
    """--embeddings MEMBER names it; the first member's are of another network and another length."""
    clips = make_clips([0.5, 1.0]) / "test"
    theirs, both = make_weights(output="logits", embedding="embedding"), make_assets({"folds": 1}, folder="both")
    (theirs / "theirs").rename(both / "theirs")
    name_in_submission(both, "theirs", alone=False)
    tag = tagging(both, tmp_path)

    named = tag(clips, "--embeddings", "theirs/0", out="named.parquet")
    first = tag(clips, "--embeddings", out="first.parquet")

    expected = by_hand(clips)
    np.testing.assert_allclose(np.stack(named["embedding"]), expected, rtol=0, atol=SAME * np.abs(expected).max())
    assert np.stack(first["embedding"]).shape == (2, 12)


def test_embedding_that_no_recipe_names_is_refused_before_anything_is_computed(
    make_weights: Weights, make_clips: ClipMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The archive is not begun, Python lists the outputs, and both say what to write."""
    clips = make_clips([0.5]) / "test"
    weights = make_weights(tagger(0.02))
    words = [str(clips), "--weights", str(weights), "--out", str(tmp_path / "tags.parquet"), "--device", "cpu"]

    with pytest.raises(SettingsError, match=r"--embeddings theirs/0: it is an ONNX file, and its recipe names no emb"):
        tag_main([*words, "--embeddings"])
    assert not (tmp_path / "tags.parquet").exists()
    assert main(["tag", *words, "--embeddings", "theirs/0"]) == 2
    assert "Give the output that holds it as embedding in [model]" in capsys.readouterr().err
    with pytest.raises(SettingsError, match=r"names no embedding, .*its outputs: logits float32 \(batch, 4\)\. Give"):
        soundpost.load(weights, device="cpu").embed(clips)


def test_output_that_is_not_there_or_does_not_tell_its_features_is_refused_by_the_import(make_weights: Weights) -> None:
    """Names are listed; where every axis could be the features, their place is asked for and taken when it is given."""
    fixed = {"views": [{"name": "fixed_windows", "frames": 30, "hop": 30}]}

    with pytest.raises(SettingsError, match=r"embedding: the graph has no output vector; its outputs: logits float32"):
        make_weights(output="logits", embedding="vector")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TABLE, "views", fixed["views"])
        with pytest.raises(SettingsError, match=r"features_first is \(1, 6, 30\) for one window: it does not tell"):
            make_weights(output="logits", embedding="features_first")
        weights = make_weights(output="logits", embedding="features_first", embedding_axis=1)
    assert "embedding_axis = 1" in (weights / "theirs/recipe.toml").read_text()
    with pytest.raises((SettingsError, WeightsError), match="embedding_axis"):
        make_weights(output="logits", embedding="features_first", embedding_axis=5)
