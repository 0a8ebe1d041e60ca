"""soundpost.load(...): the kernel's answers from Python, for files, arrays, folders and many at once."""

import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import LABELS, RATE, ClipMaker, RecipeMaker, SettingsMaker, waveform

import soundpost
from soundpost.audio import sound
from soundpost.engine.run import run as run_engine
from soundpost.errors import ClipError, DeviceError, SettingsError
from soundpost.inference.predictor import Predictor

SAME_ANSWER = 1e-5  # between batches of other sizes, and nine digits of a csv


def test_folder_is_answered_as_the_kernel_answers_it(
    make_assets: RecipeMaker, make_clips: ClipMaker, make_settings: SettingsMaker
) -> None:
    """Two recipes with other labels, views and averages give the table that a run writes."""
    assets = make_assets(
        {"views": [{"name": "whole"}, {"name": "band_shifts", "shifts": [-1, 1]}], "folds": 2},
        {"average": "logit", "labels": ["Rain", "Wind", "Siren", "Bark"], "folds": 2},
    )
    contest = make_clips(columns=(*LABELS, "Wind"))
    settings = make_settings(assets, contest)
    assert run_engine(settings) == 0
    expected = pd.read_csv(settings.out, index_col="fname")

    frame = soundpost.load(assets, device="cpu").predict(contest / "test")

    assert list(frame.index) == list(expected.index)
    assert set(frame.columns) == set(expected.columns)
    np.testing.assert_allclose(frame[expected.columns], expected, atol=SAME_ANSWER)


def test_one_file_is_a_dict_and_the_same_as_its_waveform(make_assets: RecipeMaker, make_clips: ClipMaker) -> None:
    """Whichever way a sound comes, it is answered alike."""
    clips = make_clips([0.5, 1.0]) / "test"
    tagger = soundpost.load(make_assets({}), device="cpu")
    audio, rate = soundfile.read(clips / "clip001.wav")

    by_file = tagger.predict(clips / "clip001.wav")
    by_array = tagger.predict(audio, rate)
    by_stereo = tagger.predict(np.stack([audio, audio], axis=1), rate)
    by_integers = tagger.predict((audio * 32768).astype(np.int16), rate)

    assert list(by_file) == list(LABELS)
    for other in (by_array, by_stereo, by_integers):
        assert other == pytest.approx(by_file, abs=SAME_ANSWER)


def test_many_sounds_are_answered_in_batches_as_alone(
    make_assets: RecipeMaker, make_clips: ClipMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and arrays mixed, more than one batch of them, in the order in which they were given."""
    monkeypatch.setattr(sound, "BATCH", 2)
    clips = make_clips([0.5, 0.3, 0.7]) / "test"
    tagger = soundpost.load(make_assets({}), device="cpu", members=("tiny0/2",))
    mixed = [clips / "clip002.wav", waveform(0.4, 9), clips / "clip000.wav"]

    frame = tagger.predict(mixed, RATE)

    assert list(frame.index) == [str(clips / "clip002.wav"), 1, str(clips / "clip000.wav")]
    assert frame.iloc[0].to_dict() == pytest.approx(tagger.predict(clips / "clip002.wav"), abs=SAME_ANSWER)
    assert frame.iloc[1].to_dict() == pytest.approx(tagger.predict(waveform(0.4, 9), RATE), abs=SAME_ANSWER)


def test_batches_hold_their_bounds_and_lose_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """So many seconds of audio at once, unless one sound alone is longer."""
    monkeypatch.setattr(sound, "BATCH_SECONDS", 3.0)
    sounds = [sound.Sound(np.zeros(round(seconds * 1000), np.float32), 1000) for seconds in (1, 1, 1, 5, 1, 2, 0.5)]

    numbers = list(sound.batches(sounds))

    assert numbers == [[0, 1, 2], [3], [4, 5], [6]]


def test_clip_that_cannot_be_read_costs_its_own_row_and_is_named(
    make_assets: RecipeMaker, make_clips: ClipMaker
) -> None:
    """Alone it is an error; among others it is a row of NaN and a warning."""
    clips = make_clips([0.5, 0.3]) / "test"
    (clips / "clip001.wav").write_bytes(b"nothing that sounds")
    tagger = soundpost.load(make_assets({}), device="cpu")

    with pytest.warns(UserWarning, match=r"1 of 2 clips cannot be read.*clip001\.wav: 19 bytes"):
        frame = tagger.predict(clips)
    with pytest.warns(UserWarning, match="1 of 2 clips cannot be read"):
        vectors = tagger.embed(clips)

    assert frame.loc["clip001.wav"].isna().all()
    assert frame.loc["clip000.wav"].notna().all()
    assert set(frame.attrs["unreadable"]) == {"clip001.wav"}
    assert np.isnan(vectors[1]).all()
    assert np.isfinite(vectors[0]).all()
    with pytest.raises(ClipError, match="19 bytes that are no audio file"):
        tagger.predict(clips / "clip001.wav")
    with pytest.raises(ClipError, match="19 bytes that are no audio file"):
        tagger.embed(clips / "clip001.wav")


def test_sound_of_one_sample_is_answered(make_assets: RecipeMaker) -> None:
    """Nothing is too short."""
    answer = soundpost.load(make_assets({}), device="cpu").predict(np.ones(1, np.float32), RATE)

    assert all(0 <= value <= 1 for value in answer.values())


def test_embedding_is_what_the_class_layer_reads(make_assets: RecipeMaker, make_clips: ClipMaker) -> None:
    """The compact network's answer is its class layer over the embedding, beside what its frames say."""
    clips = make_clips([0.5, 1.0]) / "test"
    tagger = soundpost.load(make_assets({}), device="cpu")

    one = tagger.embed(clips / "clip000.wav")
    many = tagger.embed(clips, member="tiny0/1")
    other = tagger.embed(clips, member="tiny0/3")

    assert one.shape == (12,)
    assert one.dtype == np.float32
    np.testing.assert_allclose(many[0], one, atol=SAME_ANSWER)
    assert np.abs(other - many).max() > 0.01


@pytest.mark.parametrize(
    ("audio", "rate", "words"),
    [
        (np.zeros(8), 0, r"sample_rate 0\. Give its rate"),
        (np.zeros((2, 8)), 8000, r"shape \(2, 8\)\. Give \(samples,\) or \(samples, channels\)"),
        (np.zeros(0), 8000, r"shape \(0,\)"),
        (np.array([0.0, np.nan]), 8000, "no numbers"),
        ("/there/is/nothing", 0, "neither a file nor a folder"),
    ],
)
def test_what_is_no_sound_is_refused_with_what_to_give(
    make_assets: RecipeMaker, audio: np.ndarray | str, rate: int, words: str
) -> None:
    """Before anything is computed."""
    tagger = soundpost.load(make_assets({}), device="cpu")

    with pytest.raises(SettingsError, match=words):
        tagger.predict(audio, rate)


def test_members_and_devices_that_are_not_there_are_refused(make_assets: RecipeMaker) -> None:
    """A wrong name lists the right ones."""
    assets = make_assets({"folds": 1})
    with pytest.raises(SettingsError, match="no members tiny0/7; known: tiny0/1"):
        soundpost.load(assets, device="cpu", members=["tiny0/7"])
    with pytest.raises(SettingsError, match="no member tiny0/7; known: tiny0/1"):
        soundpost.load(assets, device="cpu").embed(np.zeros(9), 8000, member="tiny0/7")
    with pytest.raises(DeviceError, match="cuda:99"):
        soundpost.load(assets, device="cuda:99")


def test_folder_without_audio_is_refused(make_assets: RecipeMaker, tmp_path: Path) -> None:
    """An empty table would look like an answer."""
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no sound")
    with pytest.raises(SettingsError, match=r"no audio file in .*texts\. Name a folder that holds some"):
        soundpost.load(make_assets({}), device="cpu").predict(tmp_path / "texts")


def test_import_of_the_package_loads_nothing_heavy() -> None:
    """Names are there at once, what stands behind them when it is asked for (PEP 562)."""
    code = (
        "import sys, soundpost; assert {'load', 'run', 'Tagger'} <= set(dir(soundpost)); "
        "assert 'compact' in soundpost.list_models() and 'log_mel' in soundpost.list_front_ends(); "
        "assert 'whole' in soundpost.list_views(); "
        "print(sorted(set(sys.modules) & {'torch', 'numpy', 'pandas', 'librosa', 'psutil'}))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "[]\n"
    with pytest.raises(AttributeError, match="no attribute 'lode'; it has Tagger"):
        soundpost.lode  # noqa: B018


def test_run_from_python_writes_a_submission(make_assets: RecipeMaker, make_clips: ClipMaker, tmp_path: Path) -> None:
    """The whole kernel behind one call, its options with underscores."""
    contest = make_clips([0.3, 0.5])
    out = tmp_path / "mine.csv"

    status = soundpost.run(
        contest / "test", out=out, assets=str(make_assets({})), device="cpu", time_limit="5m", workers=1
    )

    assert status == 0
    assert list(pd.read_csv(out)["fname"]) == ["clip000.wav", "clip001.wav"]


def test_tagger_warns_of_nothing_where_all_is_well(make_assets: RecipeMaker, make_clips: ClipMaker) -> None:
    """A quiet run is a whole one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        soundpost.load(make_assets({}), device="cpu").predict(make_clips([0.3]) / "test")


def test_several_devices_all_answer_and_together_as_one_does(
    make_assets: RecipeMaker, make_clips: ClipMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processors that pass for GPUs: each waits until the other has a batch, too; rows keep their order."""
    clips = make_clips([0.5, 0.3, 0.7, 0.4, 0.6]) / "test"
    (clips / "clip003.wav").write_bytes(b"nothing that sounds")
    assets = make_assets({"folds": 2})
    with pytest.warns(UserWarning, match="1 of 5 clips cannot be read"):
        expected = soundpost.load(assets, device="cpu").predict(clips)
    both = threading.Barrier(2)
    seen: list[str] = []
    own = Predictor.prepare

    def noted(predictor: Predictor, *given: Any) -> Any:
        if str(predictor.device) not in seen:
            seen.append(str(predictor.device))
            both.wait(timeout=60)
        return own(predictor, *given)

    monkeypatch.setattr(Predictor, "prepare", noted)
    tagger = soundpost.load(assets, devices=["cpu:0", "cpu:1"])
    with pytest.warns(UserWarning, match="1 of 5 clips cannot be read"):
        frame = tagger.predict(clips)

    assert tagger.devices == ("cpu:0", "cpu:1")
    assert sorted(seen) == ["cpu:0", "cpu:1"]
    np.testing.assert_allclose(frame, expected, atol=SAME_ANSWER)
    assert list(frame.index) == list(expected.index)


def test_several_devices_embed_together_as_one_does(make_assets: RecipeMaker, make_clips: ClipMaker) -> None:
    """Vectors come in the order of the clips."""
    clips = make_clips([0.5, 0.3, 0.7]) / "test"
    assets = make_assets({"folds": 1})

    both = soundpost.load(assets, devices=["cpu:0", "cpu:1"]).embed(clips)

    np.testing.assert_allclose(both, soundpost.load(assets, device="cpu").embed(clips), atol=SAME_ANSWER)


def test_device_that_fails_among_several_is_an_error(
    make_assets: RecipeMaker, make_clips: ClipMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No clip is left without an answer in silence."""
    clips = make_clips([0.5, 0.3, 0.7, 0.4]) / "test"
    tagger = soundpost.load(make_assets({"folds": 1}), devices=["cpu:0", "cpu:1"])
    has_failed = threading.Event()
    own = Predictor.prepare

    def broken(predictor: Predictor, *given: Any) -> Any:
        if str(predictor.device) == "cpu:1":
            has_failed.set()
            raise RuntimeError("the second device is gone")
        assert has_failed.wait(timeout=60)
        return own(predictor, *given)

    monkeypatch.setattr(Predictor, "prepare", broken)
    with pytest.raises(RuntimeError, match="the second device is gone"):
        tagger.predict(clips)


def test_processor_named_twice_is_one_device(make_assets: RecipeMaker) -> None:
    """All of its cores compute each batch."""
    assert soundpost.load(make_assets({"folds": 1}), device="cpu").devices == ("cpu",)


@pytest.mark.requires_cuda
def test_answers_on_a_gpu_are_those_of_the_cores(make_assets: RecipeMaker, make_clips: ClipMaker) -> None:
    """In float32 on both."""
    clips = make_clips([0.5, 1.0]) / "test"
    assets = make_assets({})

    on_gpu = soundpost.load(assets, device="cuda")

    assert on_gpu.device.startswith("cuda")
    np.testing.assert_allclose(
        on_gpu.predict(clips), soundpost.load(assets, device="cpu").predict(clips), atol=10 * SAME_ANSWER
    )
