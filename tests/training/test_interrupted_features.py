"""A stop that is asked for while clips are decoded: it takes effect before the next clip, and nothing is lost."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import composed_plan
import numpy as np
import pytest
from tiny_tables import TINY
from trained import make_folder, same_but_for_the_name, words

from soundpost.cli import main as cli
from soundpost.training import recipe_fit
from soundpost.training.inputs import material
from soundpost.training.interrupt import Paused
from soundpost.training.store import PARTIAL, build_store

Arrange = Callable[..., None]


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def signal_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arrange]:
    """Arranges for the process to get a real signal while it decodes its clip of that number."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def arrange(module: Any, clip: int) -> None:
        decode, begun = module.decode, []

        def led(*given: Any) -> Any:
            begun.append(given)
            if len(begun) == clip:
                os.kill(os.getpid(), request.param)
            return decode(*given)

        monkeypatch.setattr(module, "decode", led)

    yield arrange
    assert {number: signal.getsignal(number) for number in handlers} == handlers


@pytest.mark.parametrize("device", ["cpu", "cpu:2"])
def test_signal_while_features_are_made_ends_the_training_in_good_order_and_it_goes_on(
    device: str, tmp_path: Path, signal_at: Arrange, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0 before the fourth clip is begun, the way to go on, and no clip that was ready is decoded again."""
    folder = make_folder(tmp_path)
    command = [word if word != "cpu" else device for word in words(folder, "waveforms", "out")]
    signal_at(material, 3)

    assert cli(["train", *command]) == 0

    said = capsys.readouterr().out
    assert "features, 3 of 12 clips.\n" in said
    assert f"0 of 2 members done; paused in {'fold 1, ' if device == 'cpu' else ''}features" in said
    assert f"Go on with the same command: soundpost train {folder / 'waveforms.toml'}" in said
    assert not list((folder / "out").glob("fold*"))
    assert cli(["train", *words(folder, "waveforms", "out")]) == 0
    assert "features:" in (progress := capsys.readouterr().err)
    assert "3/12 [00:00<?" in progress
    assert cli(["train", *words(folder, "waveforms", "at_a_stretch")]) == 0
    assert same_but_for_the_name(folder / "out", folder / "at_a_stretch")
    assert not list((folder / "out" / "features").rglob(PARTIAL))


def test_signal_while_mel_powers_are_made_ends_the_training_in_good_order(
    tmp_path: Path, signal_at: Arrange, capsys: pytest.CaptureFixture[str]
) -> None:
    """Composed clips have a bank in memory, of which nothing is kept."""
    folder = composed_plan.make_small_folder(tmp_path)
    signal_at(material, 2)

    composed_plan.train(folder, "out")

    assert "0 of 2 members done; paused in fold 1, mel powers, 1 of 8 clips.\n" in capsys.readouterr().out
    composed_plan.train(folder, "out")
    assert (folder / "out" / "recipe.toml").is_file()


def test_signal_while_fit_makes_spectrograms_ends_it_in_good_order(
    tmp_path: Path, signal_at: Arrange, capsys: pytest.CaptureFixture[str]
) -> None:
    """As at a step: status 0, and the way to go on."""
    folder = composed_plan.make_small_folder(tmp_path)
    (folder / "template.toml").write_text(TINY)
    places = ["--clips", str(folder), "--csv", str(folder / "clips.csv"), "--out", str(folder / "out")]
    signal_at(recipe_fit, 2)

    assert cli(["fit", str(folder / "template.toml"), *places, "--device", "cpu"]) == 0

    said = capsys.readouterr().out
    assert f"paused in spectrograms, 2 of 8 clips.\nGo on with the same command: soundpost fit {folder}" in said


def test_store_goes_on_behind_what_was_made_and_begins_anew_where_that_was_cut(tmp_path: Path) -> None:
    """Bytes behind the last whole array, as a kill leaves them, are written over."""
    made: list[int] = []

    def make(row: int) -> np.ndarray:
        made.append(row)
        return np.full(row + 1, row, np.float32)

    def store(is_time: bool) -> Any:
        return build_store(tmp_path, ["one"], make, 4, lambda: is_time)

    for number in (1, 2):
        with pytest.raises(Paused, match=f"features, {number} of 4 clips"):
            store(is_time=True)
    values = next(tmp_path.glob("*/values"))
    values.write_bytes(values.read_bytes() + b"half of an array")
    assert [array.tolist() for array in store(is_time=False)] == [[0], [1, 1], [2, 2, 2], [3, 3, 3, 3]]
    assert made == [0, 1, 2, 3]
    assert values.stat().st_size == 8 * (1 + 1 + 2 + 2), "each begins at a multiple of eight bytes"

    values.with_name("index.json").unlink()
    values.with_name(PARTIAL).write_text('{"arrays": [["float32", [1]], ["float32", [2]]]}')
    values.write_bytes(b"cut")
    assert [array.tolist() for array in store(is_time=False)] == [[0], [1, 1], [2, 2, 2], [3, 3, 3, 3]]
    assert made == [0, 1, 2, 3] * 2


def test_call_that_waits_for_another_heeds_a_stop_and_takes_what_the_other_has_made(tmp_path: Path) -> None:
    """Two commands on the same clips: one makes the features, the other can be stopped while it waits for them."""
    answers: list[float] = []
    asked = iter([False, True])  # asked for between two tries

    def wait_and_make(row: int) -> np.ndarray:
        with pytest.raises(Paused, match=r"waiting for another process, which is at work in .*[0-9a-f]{16}"):
            build_store(tmp_path, ["one"], unused, 1, lambda: next(asked))
        other.start()
        return np.float32([7])

    def unused(row: int) -> np.ndarray:
        raise AssertionError("made twice")

    def take() -> None:
        answers.append(float(build_store(tmp_path, ["one"], unused, 1)[0][0]))

    other = threading.Thread(target=take)

    build_store(tmp_path, ["one"], wait_and_make, 1)

    other.join(timeout=30)
    assert answers == [7]
