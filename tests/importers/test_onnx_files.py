"""ONNX files that others published: each one's verdict, and the members' answers against the runtime called by hand."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnxruntime
import pytest

from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_file import load_arrays
from soundpost.errors import SettingsError, WeightsError
from soundpost.importers.onnx_member import add_onnx
from soundpost.inference.in_memory import answer, spectrograms_of

pytestmark = pytest.mark.slow

FILES = Path(sys.prefix) / "onnx-files"  # wheels, as `make .venv/onnx-files/downloaded` fetches them
SAME = 1e-6  # how far another batch may move a probability by the same runtime

Adder = Callable[..., Recipe]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every .onnx file of the downloaded packages, under the package's own path."""
    wheels = sorted(FILES.glob("*.whl"))
    if not wheels:
        pytest.skip(f"no packages in {FILES}: run make .venv/onnx-files/downloaded")
    folder = tmp_path_factory.mktemp("published")
    for wheel in wheels:
        with ZipFile(wheel) as packed:
            packed.extractall(folder, [name for name in packed.namelist() if name.endswith(".onnx")])
    return folder


@pytest.fixture
def add(files: Path, tmp_path: Path) -> Adder:
    """Adds one published file as a recipe of one fold, with that many labels."""

    def make(file: str, n_labels: int, table: dict[str, Any]) -> Recipe:
        labels = tuple(f"label{number}" for number in range(n_labels))
        return add_onnx([files / file], tmp_path / "weights", "theirs", table, labels)

    return make


def waveform_of(samples: int, rate: int, **others: Any) -> dict[str, Any]:
    """A recipe whose network takes that many samples; windows a second apart, short clips looped, the rest dropped."""
    view = {"name": "fixed_windows", "frames": samples, "hop": rate, "pad": "loop", "tail": "drop"}
    return {"audio": {"sample_rate": rate}, "front_end": {"name": "waveform"}, "views": [view], **others}


def spectrogram_of(frames: int, bins: int) -> dict[str, Any]:
    """A recipe whose network takes log-mel windows of that size."""
    front_end = {"name": "log_mel", "sample_rate": 16000, "n_fft": 1024, "hop_length": 160, "n_mels": bins}
    view = {"name": "fixed_windows", "frames": frames}
    return {"audio": {"sample_rate": 16000}, "front_end": front_end, "views": [view]}


def clips(rate: int, *seconds: float) -> list[np.ndarray]:
    """Tones in noise, (samples,) each."""
    draw, made = np.random.default_rng(3), []
    for number, length in enumerate(round(rate * s) for s in seconds):
        tone = 0.3 * np.sin(600 * (number + 1) * np.arange(length) / rate)
        made.append((tone + draw.normal(0, 0.05, length)).astype(np.float32))
    return made


def answers_of(recipe: Recipe, weights: Path, waveforms: list[np.ndarray]) -> np.ndarray:
    """Probabilities (clips, classes) as the kit gives them."""
    (member,) = recipe.members
    arrays = load_arrays(weights / recipe.name / member.file, member.sha256, member.name)
    spectrograms = spectrograms_of(recipe, waveforms, "cpu")
    return answer(recipe, member, arrays, spectrograms, n_views=1)


def sigmoid(values: np.ndarray) -> np.ndarray:
    """Probabilities of logits."""
    return 1 / (1 + np.exp(-np.asarray(values, np.float64)))


def windows_by_hand(waveform: np.ndarray, samples: int, hop: int) -> np.ndarray:
    """(windows, samples): looped to one window, or windows a hop apart, the rest dropped."""
    looped = np.tile(waveform, -(-samples // len(waveform)))[: max(samples, len(waveform))]
    return np.stack([looped[s : s + samples] for s in range(0, len(looped) - samples + 1, hop)])


def test_speech_quality_network_takes_windows_of_fixed_length_and_answers_as_by_hand(
    add: Adder, files: Path, tmp_path: Path
) -> None:
    """Waveform of 144,160 samples: window, padding and hop come from the recipe, answers from the runtime."""
    file = "speechmos/dnsmos_models/sig_bak_ovr.onnx"
    recipe = add(file, 3, waveform_of(144_160, 16000))
    waveforms = clips(16000, 2.0, 9.01, 12.5)

    ours = answers_of(recipe, tmp_path / "weights", waveforms)

    session = onnxruntime.InferenceSession(files / file)
    for row, waveform in zip(ours, waveforms, strict=True):
        windows = windows_by_hand(waveform, 144_160, 16000)
        (scores,) = session.run(None, {"input_1": windows})
        np.testing.assert_allclose(row, sigmoid(scores).mean(0), rtol=0, atol=SAME)


def test_numbers_that_are_no_probabilities_are_refused_as_such_with_their_range(add: Adder) -> None:
    """activation = "none" takes numbers as they are; scores above 1 show that they are none."""
    with pytest.raises(WeightsError, match=r"sig_bak_ovr.onnx: output Identity:0 gave [\d.]+ to 1\.0.* for noise; act"):
        add("speechmos/dnsmos_models/sig_bak_ovr.onnx", 3, waveform_of(144_160, 16000, activation="none"))


def test_window_of_another_length_than_the_file_s_is_refused_with_both_shapes(add: Adder) -> None:
    """The file's size and the recipe's stand beside each other."""
    with pytest.raises(WeightsError, match=r"\(N, 144160\) does not take the windows .*= \(2, 1, 1, 144000\)"):
        add("speechmos/dnsmos_models/sig_bak_ovr.onnx", 3, waveform_of(144_000, 16000))


@pytest.mark.parametrize(
    ("file", "frames", "bins", "labels"), [("model_v8", 900, 120, 1), ("sig", 901, 161, 1), ("bak_ovr", 901, 161, 3)]
)
def test_spectrogram_with_frames_first_is_a_member_where_the_front_end_gives_its_shape(
    add: Adder, files: Path, tmp_path: Path, file: str, frames: int, bins: int, labels: int
) -> None:
    """(batch, frames, bins) is read from the file; the answers are the runtime's for the turned spectrogram."""
    name = f"speechmos/dnsmos_models/{file}.onnx"
    recipe = add(name, labels, spectrogram_of(frames, bins))
    waveforms = clips(16000, 9.1)

    ours = answers_of(recipe, tmp_path / "weights", waveforms)

    spectrogram = spectrograms_of(recipe, waveforms, "cpu")[0]
    first, second = (np.zeros((frames, bins), np.float32) for _ in range(2))
    first[:] = spectrogram[0].T[:frames]
    rest = spectrogram[0].T[frames:]
    second[: len(rest)] = rest
    windows = np.stack([first, second]) if len(rest) else first[None]
    (scores,) = onnxruntime.InferenceSession(files / name).run(None, {"input_1": windows})
    np.testing.assert_allclose(ours[0], sigmoid(scores).mean(0), rtol=0, atol=SAME)


@pytest.mark.parametrize("file", ["model_v8", "sig", "bak_ovr"])
def test_spectrogram_of_another_size_is_refused_with_both_shapes(add: Adder, file: str) -> None:
    """A front end with other bins is told apart from the file's."""
    with pytest.raises(WeightsError, match=r"float32 \(N, 90[01], 1[26][01]\) does not take .* = \(2, 1, 64, 900\)"):
        add(f"speechmos/dnsmos_models/{file}.onnx", 1, spectrogram_of(900, 64))


NOTES = "basic_pitch/saved_models/icassp_2022/nmp.onnx"


@pytest.mark.parametrize(("pooling", "rule"), [("max", np.max), ("mean", np.mean)])
def test_frame_wise_output_is_a_member_by_name_and_pooling(
    add: Adder, files: Path, tmp_path: Path, pooling: str, rule: Callable[..., np.ndarray]
) -> None:
    """One of three frame-wise outputs is named, and pooled over its frames."""
    output = "StatefulPartitionedCall:1"
    table = waveform_of(43_844, 22050, model={"output": output, "pooling": pooling}, activation="none")
    recipe = add(NOTES, 88, table)
    waveforms = clips(22050, 1.0, 3.3)

    ours = answers_of(recipe, tmp_path / "weights", waveforms)

    session = onnxruntime.InferenceSession(files / NOTES)
    for row, waveform in zip(ours, waveforms, strict=True):
        windows = windows_by_hand(waveform, 43_844, 22050)[..., None]
        (notes,) = session.run([output], {"serving_default_input_2:0": windows})
        np.testing.assert_allclose(row, rule(notes, axis=1).mean(0), rtol=0, atol=SAME)


def test_output_and_pooling_that_are_not_named_are_asked_for(add: Adder) -> None:
    """All outputs are listed; a row for each frame is no answer of a clip."""
    with pytest.raises(SettingsError, match=r"nmp.onnx: the graph has 3 outputs; .*StatefulPartitionedCall:0 float32"):
        add(NOTES, 88, waveform_of(43_844, 22050))
    with pytest.raises(WeightsError, match=r"\(1, 172, 88\): a row for each frame. Set pooling"):
        add(NOTES, 88, waveform_of(43_844, 22050, model={"output": "StatefulPartitionedCall:1"}))


def test_network_of_one_clip_a_call_takes_its_scalars_from_the_recipe(add: Adder, files: Path, tmp_path: Path) -> None:
    """(1, samples) and two scalars: windows go in one by one, whatever the batch is."""
    limits = {"fmin": 46.875, "fmax": 2093.75}  # Hz
    model = {"output": "confidence", "pooling": "mean", "constants": limits}
    table = {
        "audio": {"sample_rate": 16000},
        "front_end": {"name": "waveform"},
        "views": [{"name": "whole", "max_frames": 480_000}],  # samples: clips of up to 30 s are shown whole
        "activation": "none",
        "model": model,
    }
    recipe = add("swift_f0/model.onnx", 1, table)
    waveforms = clips(16000, 1.0, 1.0, 2.5)

    ours = answers_of(recipe, tmp_path / "weights", waveforms)

    assert recipe.model.settings["one_by_one"] is True
    session = onnxruntime.InferenceSession(files / "swift_f0/model.onnx")
    for row, waveform in zip(ours, waveforms, strict=True):
        scalars = {name: np.array(value, np.float32) for name, value in limits.items()}
        (confidence,) = session.run(["confidence"], {"audio": waveform[None], **scalars})
        np.testing.assert_allclose(row, confidence.mean(1), rtol=0, atol=SAME)


def test_scalars_without_a_value_are_asked_for_by_name(add: Adder) -> None:
    """Every input is listed with its shape."""
    with pytest.raises(SettingsError, match=r"3 inputs without a value; its inputs: audio float32 \(1, samples\);"):
        add("swift_f0/model.onnx", 1, waveform_of(16000, 16000, model={"output": "confidence"}))


@pytest.mark.parametrize(
    ("file", "state"),
    [
        ("silero_vad", "state"),
        ("silero_vad_16k_op15", "state"),
        ("silero_vad_16k_sequence", "h"),
        ("silero_vad_half", "state"),
        ("silero_vad_op18_ifless", "state"),
        ("silero_vad_openvino_16k", "state"),
    ],
)
@pytest.mark.parametrize("constants", [{}, {"state": {"shape": [2, 1, 128]}, "sr": 16000}])
def test_recurrent_state_is_refused_whatever_value_it_is_given(
    add: Adder, file: str, state: str, constants: dict[str, Any]
) -> None:
    """A state that runs from call to call is no clip's answer, whether sub-graphs under If make it or plain nodes."""
    table = waveform_of(576, 16000, model={"constants": constants})

    with pytest.raises(WeightsError, match=rf"{file}.onnx: input {state} .* comes back as .*: a recurrent state"):
        add(f"silero_vad/data/{file}.onnx", 1, table)


ECHO = {"Run_1663829550_Stage_0": (64, 4), "Run_1663915512_Stage_0": (64, 2), "Run_1668423760_Stage_0": (96, 2)}


@pytest.mark.parametrize("run", ECHO)
def test_second_input_is_refused_by_name_or_given_by_the_recipe(
    add: Adder, files: Path, tmp_path: Path, run: str
) -> None:
    """h0 does not come back: zeros of the recipe make the file a network of one window a call."""
    width, labels = ECHO[run]
    file = f"speechmos/aecmos_models/{run}.onnx"
    front_end = {"name": "log_mel", "sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 160, "deltas": 2}
    table = {"audio": {"sample_rate": 16000}, "front_end": front_end}

    with pytest.raises(SettingsError, match=rf"{run}.onnx: the graph has 2 inputs without .*h0 float32 \(4, 1, "):
        add(file, labels, table)
    recipe = add(file, labels, {**table, "model": {"constants": {"h0": {"shape": [4, 1, width]}}}})

    waveforms = clips(16000, 1.0, 2.0)
    ours = answers_of(recipe, tmp_path / "weights", waveforms)
    session = onnxruntime.InferenceSession(files / file)
    for row, spectrogram in zip(ours, spectrograms_of(recipe, waveforms, "cpu"), strict=True):
        turned = np.ascontiguousarray(spectrogram.transpose(0, 2, 1))[None]
        (scores,) = session.run(None, {"input": turned, "h0": np.zeros((4, 1, width), np.float32)})
        np.testing.assert_allclose(row, sigmoid(scores), rtol=0, atol=SAME)


def test_embedding_of_a_rater_is_refused_by_name_or_given_by_the_recipe(
    add: Adder, files: Path, tmp_path: Path
) -> None:
    """The second input of plcmos is no clip's; zeros of the recipe stand for the mean rater."""
    table = {"audio": {"sample_rate": 16000}, "front_end": {"name": "log_stft", "n_fft": 512}}

    with pytest.raises(SettingsError, match=r"plcmos_v2.onnx: .*rater_embed float32 \(batch_size, 64\)"):
        add("speechmos/plcmos_models/plcmos_v2.onnx", 1, table)

    given = {"constants": {"rater_embed": {"shape": [1, 64]}}}
    recipe = add("speechmos/plcmos_models/plcmos_v2.onnx", 1, {**table, "model": given})
    waveforms = clips(16000, 1.0, 2.0)

    ours = answers_of(recipe, tmp_path / "weights", waveforms)

    assert recipe.model.settings["one_by_one"] is True
    session = onnxruntime.InferenceSession(files / "speechmos/plcmos_models/plcmos_v2.onnx")
    windows, rater = (port.name for port in session.get_inputs())
    axes = [("batch", "channels", "bins", "frames").index(axis) for axis in recipe.model.settings["axes"]]
    for row, spectrogram in zip(ours, spectrograms_of(recipe, waveforms, "cpu"), strict=True):
        gone = [axis for axis in range(4) if axis not in axes]
        turned = np.ascontiguousarray(spectrogram[None].transpose([*axes, *gone]))
        turned = turned.reshape(turned.shape[: len(axes)])
        (score,) = session.run(None, {windows: turned, rater: np.zeros((1, 64), np.float32)})
        np.testing.assert_allclose(row, sigmoid(score).reshape(-1), rtol=0, atol=SAME)


JUDGED = {
    "basic_pitch": {"nmp"},
    "silero_vad": {"silero_vad", "silero_vad_16k_op15", "silero_vad_16k_sequence", "silero_vad_half",
                   "silero_vad_op18_ifless", "silero_vad_openvino_16k"},
    "speechmos": {"model_v8", "sig", "bak_ovr", "sig_bak_ovr", "plcmos_v2", *ECHO},
    "swift_f0": {"model"},
}  # fmt: skip


def test_every_file_of_the_packages_has_a_verdict_above(files: Path) -> None:
    """A file that a package has and no test names would be one whose verdict nobody has seen."""
    found: dict[str, set[str]] = {}
    for path in files.rglob("*.onnx"):
        found.setdefault(path.relative_to(files).parts[0], set()).add(path.stem)

    assert found == JUDGED


def test_numbers_that_are_no_probabilities_are_refused_by_a_run_after_its_first_batch(
    add: Adder, tmp_path: Path
) -> None:
    """A recipe that was imported with a sigmoid and then changed: real sounds, and the range that was seen of them."""
    recipe = add("speechmos/dnsmos_models/sig_bak_ovr.onnx", 3, waveform_of(144_160, 16000))
    waveforms = clips(16000, 2.0)
    assert answers_of(recipe, tmp_path / "weights", waveforms).max() < 1

    with pytest.raises(WeightsError, match=r"theirs/0: answers from [1-5]\.\d+ to [1-5]\.\d+ are no probabilities, "):
        answers_of(replace(recipe, activation="none"), tmp_path / "weights", waveforms)
