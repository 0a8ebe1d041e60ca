"""A way to a member's answers is taken where it is faster and agrees; else the first one stays, and the log says."""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from soundpost.inference.backends import choice
from soundpost.inference.backends.candidates import Candidates
from soundpost.inference.backends.choice import BOUND, BackendChoice
from soundpost.inference.backends.graph_settings import GraphSettings

RIGHT = torch.tensor([[0.2, 0.8], [0.5, 0.1]])


class Clock:
    """Stands in for the wall clock: ways say how long they take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(choice.time, "perf_counter", lambda: self.now)

    def way(self, seconds: float, off: float = 0.0) -> Callable[[], Tensor]:
        def answer() -> Tensor:
            self.now += seconds
            return RIGHT + off

        return answer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Time passes by what ways say."""
    return Clock(monkeypatch)


def test_fastest_way_that_agrees_is_taken_and_named_with_speed_and_difference(clock: Clock) -> None:
    """The log has milliseconds of each, times as fast, and the largest difference of a probability."""
    said: list[str] = []
    ways = {"torch": clock.way(0.3), "onnxruntime": clock.way(0.2, BOUND / 2), "openvino": clock.way(0.1, 2e-5)}

    assert BackendChoice(tell=said.append).take("tiny/1", ways) == "openvino"
    assert said == [
        "tiny/1: one batch of 2 windows: torch 300.0 ms, onnxruntime 200.0 ms, openvino 100.0 ms",
        "tiny/1: openvino taken in place of torch: 3.00 times as fast, probabilities within 2e-05",
    ]


def test_faster_way_that_differs_is_left_for_the_next_one_that_agrees(clock: Clock) -> None:
    """Speed never buys a wrong answer."""
    said: list[str] = []
    ways = {"torch": clock.way(0.3), "onnxruntime": clock.way(0.2), "openvino": clock.way(0.1, 2 * BOUND)}

    assert BackendChoice(tell=said.append).take("tiny/1", ways) == "onnxruntime"
    assert "tiny/1: openvino not taken in place of torch: 3.00 times as fast, probabilities within 0.002" in said


@pytest.mark.parametrize("seconds", [0.3, 0.29, 0.9])
def test_way_that_is_hardly_faster_is_not_taken(clock: Clock, seconds: float) -> None:
    """What may be noise is no reason to leave torch."""
    ways = {"torch": clock.way(0.3), "onnxruntime": clock.way(seconds)}

    assert BackendChoice().take("tiny/1", ways) == "torch"


def test_forced_way_is_taken_though_it_is_slower_and_its_difference_is_told(clock: Clock) -> None:
    """Who asks for a runtime by name gets it, and reads what it costs."""
    said: list[str] = []
    ways = {"torch": clock.way(0.1), "onnxruntime": clock.way(0.2, 5 * BOUND)}

    assert BackendChoice("onnxruntime", said.append).take("tiny/1", ways) == "onnxruntime"
    assert said[-1] == "tiny/1: onnxruntime taken in place of torch: 0.50 times as fast, probabilities within 0.005"


def test_later_member_of_a_recipe_is_not_measured_again_but_compared(clock: Clock) -> None:
    """Speed is the recipe's; agreement is each member's own."""
    chosen = BackendChoice()
    chosen.take("tiny/1", {"torch": clock.way(0.3), "onnxruntime": clock.way(0.1)})
    before = clock.now

    assert chosen.take("tiny/2", {"torch": clock.way(0.3), "onnxruntime": clock.way(0.1)}) == "onnxruntime"
    assert clock.now - before == pytest.approx(0.4)
    assert chosen.take("tiny/3", {"torch": clock.way(0.3), "onnxruntime": clock.way(0.1, 1.0)}) == "torch"


def test_way_that_raises_or_answers_another_shape_is_out_and_told(clock: Clock) -> None:
    """A runtime that cannot do it costs a line in the log, for the whole recipe."""
    said: list[str] = []

    def broken() -> Tensor:
        raise RuntimeError("openvino: no such kernel")

    ways = {"torch": clock.way(0.3), "onnxruntime": lambda: RIGHT[:1], "openvino": broken}
    chosen = BackendChoice(tell=said.append)

    assert chosen.take("tiny/1", ways) == "torch"
    assert said[0] == "tiny/1: onnxruntime not taken: RuntimeError: answers (1, 2) where (2, 2) is right"
    assert said[1] == "tiny/1: openvino not taken: RuntimeError: openvino: no such kernel"
    assert chosen.take("tiny/2", ways) == "torch"
    assert len(said) == 3


def test_way_is_held_to_exact_answers_where_the_first_one_rounds(clock: Clock) -> None:
    """What half precision strays is no fault of a runtime that does not, and what it hides is no excuse."""
    ways = {"torch": clock.way(0.3, 4 * BOUND), "onnxruntime": clock.way(0.1), "openvino": clock.way(0.05, 4 * BOUND)}

    assert BackendChoice().take("tiny/1", ways, exact=lambda: RIGHT) == "onnxruntime"
    assert BackendChoice().take("tiny/1", ways) == "openvino"


def test_only_way_is_taken_without_being_run() -> None:
    """Where nothing can be compared nothing is computed."""
    assert BackendChoice().take("tiny/1", {"torch": lambda: pytest.fail("it was run")}) == "torch"


def test_real_clock_finds_the_way_that_sleeps_less() -> None:
    """With real seconds the same choice is made."""

    def after(seconds: float) -> Callable[[], Tensor]:
        return lambda: (time.sleep(seconds), RIGHT)[1]

    assert BackendChoice().take("tiny/1", {"torch": after(0.04), "onnxruntime": after(0.004)}) == "onnxruntime"


@pytest.mark.parametrize(
    ("names", "lanes", "is_alone", "times"),
    [
        (("onnxruntime",), 1, True, 0.0),
        (("onnxruntime",), 4, True, 0.0),
        (("onnxruntime",), 4, False, 6.0),
        (("openvino",), 3, True, 4.2),
        (("openvino",), 3, False, 4.2 + 5.5),
        (("onnxruntime", "openvino"), 1, True, 6.7),
    ],
)
def test_memory_that_runtimes_may_still_take_grows_with_file_lanes_and_members(
    names: tuple[str, ...], lanes: int, is_alone: bool, times: float
) -> None:
    """One session serves all lanes of ONNX Runtime; OpenVINO has a copy for each; another member is opened beside."""
    candidates = Candidates(bytes(1000), GraphSettings(), 4, names, BackendChoice(), lanes)

    assert candidates.coming_bytes(is_alone) == pytest.approx(1000 * times, abs=1)
    candidates.close()
