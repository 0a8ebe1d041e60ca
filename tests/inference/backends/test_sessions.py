"""Every runtime of the registry: torch's answers, any length, several lanes at once, nothing kept, clear errors."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from conftest import LABELS, compact_arrays
from onnx_graphs import tagger, tagger_logits

from soundpost.ensemble.recipes import Member, Named, Recipe
from soundpost.errors import SettingsError, WeightsError
from soundpost.graph_export.onnx_export import export
from soundpost.inference.backends import BACKENDS, opening, openvino_runtime
from soundpost.inference.backends.opening import open_first, open_session, usable
from soundpost.inference.backends.session import Session
from soundpost.inference.network import build
from soundpost.resources.memory import return_free_memory

MEMBER = Member("tiny", "1", "fold1.safetensors", "")
RECIPE = Recipe(
    name="tiny",
    labels=LABELS,
    audio={"sample_rate": 16000},
    front_end=Named("log_mel", {"sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 16}),
    model=Named("compact", {"bins": 16, "widths": (4, 6), "strides": (2, 2)}),
    views=(Named("whole", {}),),
    members=(MEMBER,),
    priors=(0.25,) * 4,
)
SAME = 1e-5  # how far other kernels, which add in another order, may move a logit
SOURCE = Path(__file__).parents[3] / "src"


@pytest.fixture(scope="module")
def compact_graph() -> bytes:
    """The kit's own network with small widths, exported once for all tests of this file."""
    return export(RECIPE, MEMBER, compact_arrays(1))


def noise(*shape: int) -> np.ndarray:
    """Decibels such as a log-mel has them."""
    return np.random.default_rng(sum(shape)).normal(-40, 15, shape).astype(np.float32)


def answer(session: Session, windows: np.ndarray) -> np.ndarray:
    """The first output for the first input."""
    return session.run({session.inputs[0].name: windows}, [session.outputs[0].name])[0]


@pytest.mark.parametrize("name", BACKENDS)
def test_session_answers_as_torch_does_at_any_length_and_batch(name: str, compact_graph: bytes) -> None:
    """Lengths and batches that the export never saw give torch's logits."""
    network = build(RECIPE, MEMBER, compact_arrays(1))
    session = open_session(name, compact_graph)

    for shape in ((1, 1, 16, 40), (3, 1, 16, 77), (5, 1, 16, 131)):
        windows = noise(*shape)
        with torch.inference_mode():
            expected = network(torch.from_numpy(windows)).numpy()
        np.testing.assert_allclose(answer(session, windows), expected, rtol=0, atol=SAME * np.abs(expected).max())


@pytest.mark.parametrize("name", BACKENDS)
def test_session_describes_the_ports_of_its_file(name: str) -> None:
    """Names, types and fixed sizes come from the file; an axis of any length has no number."""
    session = open_session(name, tagger())

    (port,), (output,) = session.inputs, session.outputs
    assert (port.name, port.dtype, output.name) == ("windows", "float32", "logits")
    assert port.shape[1:3] == (1, 16)
    assert isinstance(port.shape[0], str)
    assert isinstance(port.shape[3], str)


@pytest.mark.parametrize("name", BACKENDS)
def test_session_serves_several_lanes_at_once_as_it_serves_one(name: str) -> None:
    """Two lanes beside each other get the answers that each would get alone."""
    session = open_session(name, tagger(), lanes=2)
    batches = [noise(2, 1, 16, 20 + number) for number in range(40)]

    with ThreadPoolExecutor(2) as lanes:
        answers = list(lanes.map(lambda batch: answer(session, batch), batches))

    for batch, logits in zip(batches, answers, strict=True):
        np.testing.assert_allclose(logits, tagger_logits(batch), rtol=1e-4, atol=1e-4)


class Request:
    """Stands in for one of OpenVINO, and notes how many are at work at once."""

    at_work = most = 0

    def start_async(self, arrays: dict[str, np.ndarray], share_inputs: bool) -> None:
        type(self).at_work += 1
        Request.most = max(Request.most, Request.at_work)
        time.sleep(0.05)
        type(self).at_work -= 1

    def wait(self) -> None:
        """Done."""

    def get_tensor(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(data=np.zeros((1, 4), np.float32))


def test_first_call_of_openvino_is_made_alone_and_later_ones_beside_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two first calls at once can wait for each other without end; lanes that have begun do not."""
    session = open_session("openvino", tagger(), lanes=2)
    monkeypatch.setattr(openvino_runtime, "IS_WARM", threading.Event())
    session._idle[:] = [Request(), Request()]

    with ThreadPoolExecutor(2) as lanes:
        list(lanes.map(lambda _: answer(session, noise(1, 1, 16, 20)), range(2)))
        assert Request.most == 1
        list(lanes.map(lambda _: answer(session, noise(1, 1, 16, 20)), range(4)))
    assert Request.most == 2


AT_ONCE = """
import sys, threading
import numpy as np
sys.path[:0] = sys.argv[2:]
from soundpost.inference.backends.opening import open_session
sessions = [open_session("openvino", open(sys.argv[1], "rb").read()) for _ in range(2)]
windows = {sessions[0].inputs[0].name: np.zeros((2, 1, 16, 40), np.float32)}
together = threading.Barrier(2)
def call(session):
    together.wait()
    session.run(windows, [session.outputs[0].name])
lanes = [threading.Thread(target=call, args=(session,)) for session in sessions]
for lane in lanes: lane.start()
for lane in lanes: lane.join()
print("answered")
"""


@pytest.mark.slow
def test_first_calls_of_two_sessions_at_once_come_to_an_end(compact_graph: bytes, tmp_path: Path) -> None:
    """In process after process; without the care that is taken, one in a few stood still for ever."""
    path = tmp_path / "network.onnx"
    path.write_bytes(compact_graph)

    for _ in range(12):
        command = [sys.executable, "-c", AT_ONCE, path, SOURCE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.stdout == "answered\n", done.stderr


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core, to which everything is bound")
@pytest.mark.parametrize("name", BACKENDS)
def test_lanes_of_a_session_are_bound_to_no_core(name: str, compact_graph: bytes) -> None:
    """Lanes that a runtime binds all to one core take turns on it, and the other cores stand idle."""
    session = open_session(name, compact_graph, lanes=2)
    everywhere, bound = os.sched_getaffinity(0), set()
    batches = [noise(16, 1, 16, 900)] * 40

    with ThreadPoolExecutor(2) as lanes:
        answers = [lanes.submit(answer, session, batch) for batch in batches]
        while not all(future.done() for future in answers):
            for thread in psutil.Process().threads():
                with suppress(OSError):  # it has ended
                    bound.add(frozenset(os.sched_getaffinity(thread.id)))

    assert bound == {frozenset(everywhere)}


@pytest.mark.parametrize("name", BACKENDS)
def test_session_computes_a_call_with_one_thread(name: str, compact_graph: bytes) -> None:
    """A call takes one core and leaves the others to their own lanes, however large its batch is."""
    session = open_session(name, compact_graph, lanes=1)
    windows = noise(64, 1, 16, 900)
    answer(session, windows)
    before = psutil.Process().cpu_times()
    others = {thread.id: thread.user_time for thread in psutil.Process().threads()}

    for _ in range(80):
        answer(session, windows)

    own = psutil.Process().cpu_times().user - before.user
    threads = psutil.Process().threads()
    busiest = max(thread.user_time - others.get(thread.id, 0.0) for thread in threads)
    assert own > 0.3, "too little work to tell"
    assert busiest > 0.8 * own


@pytest.mark.parametrize("name", BACKENDS)
def test_session_keeps_nothing_of_the_lengths_it_has_seen(name: str, compact_graph: bytes) -> None:
    """After the longest windows, a hundred other lengths leave the process as it was, within a few megabytes."""
    session = open_session(name, compact_graph)
    for _ in range(3):
        answer(session, noise(8, 1, 16, 2000))
    lengths = np.random.default_rng(0).permutation(np.arange(300, 1900, 8))
    for frames in lengths[:60]:  # what is kept once, for any length
        answer(session, noise(8, 1, 16, frames))
    return_free_memory()
    before = psutil.Process().memory_info().rss

    for frames in lengths[60:]:
        answer(session, noise(8, 1, 16, frames))

    return_free_memory()
    assert psutil.Process().memory_info().rss - before < 12e6


@pytest.mark.parametrize("name", BACKENDS)
def test_session_of_a_cut_graph_is_refused_with_the_runtime_s_words(name: str) -> None:
    """A part of a file is no network, whatever part it is."""
    graph = tagger()

    for length in (0, 10, len(graph) // 2, len(graph) - 3):
        with pytest.raises(WeightsError, match=r"cannot load the graph of .* bytes .*Take the whole file again"):
            open_session(name, graph[:length])


@pytest.mark.parametrize("name", BACKENDS)
def test_session_refuses_arrays_of_another_shape(name: str) -> None:
    """What the graph does not take is an error with the runtime's name, and the next batch is answered."""
    session = open_session(name, tagger())

    with pytest.raises(RuntimeError, match=name):
        answer(session, noise(2, 1, 17, 30))

    windows = noise(2, 1, 16, 30)
    np.testing.assert_allclose(answer(session, windows), tagger_logits(windows), rtol=1e-4, atol=1e-4)


OUT_OF_MEMORY = """
import resource, sys
import numpy as np
sys.path[:0] = sys.argv[3:]
from soundpost.inference.backends.opening import open_session
session = open_session(sys.argv[1], open(sys.argv[2], "rb").read())
windows = np.zeros((48, 1, 16, 20000), np.float32)
def ask(): session.run({session.inputs[0].name: windows}, [session.outputs[0].name])
session.run({session.inputs[0].name: windows[:1, ..., :100].copy()}, [session.outputs[0].name])
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + 40_000_000, resource.RLIM_INFINITY))
try:
    ask()
except MemoryError as error:
    print("MemoryError", error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ask()
print("answered")
"""


@pytest.mark.parametrize("name", BACKENDS)
def test_session_without_room_says_so_and_answers_again_with_room(
    name: str, compact_graph: bytes, tmp_path: Path
) -> None:
    """Under a real limit of address space a batch is MemoryError, which the engine halves; later ones are answered."""
    path = tmp_path / "network.onnx"
    path.write_bytes(compact_graph)

    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, name, path, SOURCE], capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"MemoryError {name}"), done.stdout
    assert done.stdout.endswith("answered\n")


def test_runtime_that_is_asked_for_and_missing_is_refused_with_what_to_attach(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forced runtime never falls back in silence."""
    monkeypatch.setattr(opening, "trouble", lambda _: "ModuleNotFoundError: No module named 'onnxruntime'")

    with pytest.raises(
        SettingsError, match=r"--backend onnxruntime: it is not here .*build_kernel\.py --with onnxrunt"
    ):
        usable("onnxruntime")
    with pytest.raises(SettingsError, match=r"--backend tensorrt: not known; known: auto, torch, onnxruntime"):
        usable("tensorrt")
    assert usable("auto") == ()
    with pytest.raises(WeightsError, match=r"mine/0 is an ONNX file, and no runtime for it is here .*Attach the datas"):
        open_first(usable(), tagger(), "mine/0")


def test_graph_goes_to_the_next_runtime_where_the_first_cannot_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two runtimes a member is lost only when neither takes its graph, and then with both reasons."""
    loads = {"onnxruntime": False, "openvino": True}
    real = opening.open_session

    def choosy(name: str, graph: bytes, lanes: int = 1) -> Session:
        if not loads[name]:
            raise WeightsError(f"{name} cannot")
        return real(name, graph, lanes)

    monkeypatch.setattr(opening, "open_session", choosy)

    assert open_first(("onnxruntime", "openvino"), tagger(), "mine/0")[0] == "openvino"
    loads["openvino"] = False
    with pytest.raises(WeightsError, match="onnxruntime cannot openvino cannot"):
        open_first(("onnxruntime", "openvino"), tagger(), "mine/0")
