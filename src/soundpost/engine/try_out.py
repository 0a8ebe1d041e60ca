"""The networks tried out before the first pass: what a window x frame costs, how large a GPU's batch may be."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from soundpost.engine.devices_in_use import DevicesInUse, lost
from soundpost.engine.heartbeat import Heartbeat
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import DeviceError, KitError, sentence
from soundpost.inference.device_errors import is_broken_device
from soundpost.inference.model_pool import ModelPool
from soundpost.inference.predictor import Predictor
from soundpost.inference.profiling import fit_worst_batch, paying_bytes, probe
from soundpost.inference.shared_windows import frames_in_room, frames_of_group
from soundpost.resources.deadline import Estimate
from soundpost.resources.memory import MIB
from soundpost.resources.memory_budget import CUDNN_PLAN_BYTES, CUDNN_PLANS, GPU_SHARE, PINNED_BATCHES
from soundpost.views.view import View

PROBE_SECONDS = 10.0  # audio in the batch that tries a network out
LONG_CLIP_SECONDS = 30.0  # a clip of this length must fit a GPU's batch
CPU_BATCH_BYTES = 256 * MIB  # the most that a batch on a core, and that of a graph beside a GPU, takes of the host
GPU_FRAMES = 400_000  # most windows x frames of a batch on a GPU, however much memory there is


class TryOut:
    """Each recipe's costs, by its first member that works.

    Args:
        models: members, to be tried out.
        devices: on which; those that turn out to be broken are lost.
        heartbeat: beats before each network.

    Raises:
        DeviceError: the last device is broken, or takes no network for reasons that are not the network's.
    """

    def __init__(self, models: ModelPool, devices: DevicesInUse, heartbeat: Heartbeat) -> None:
        self._models = models
        self._devices = devices
        self.bytes_per_frame: dict[str, float] = {}  # recipe -> bytes for each window x frame
        self.speed: dict[str, Estimate] = {}  # recipe -> seconds for each window x frame
        self.coming_bytes = 0  # host memory that runtimes take later, for further members and lanes
        self.batch_frames: dict[str, int] = {}  # recipe -> most windows x frames in a batch, on a GPU
        self.lane_bytes: dict[str, int] = {}  # recipe -> bytes of a batch on a core that are worth having
        self._frame_bytes: dict[str, int] = {}  # recipe -> bytes of one frame of its spectrograms, in float32
        self._sharing: set[str] = set()  # recipes whose networks compute once what the windows of all views share
        self._raised: list[str] = []  # what networks raised that is no fault of settings or weights
        for recipe in models.recipes:
            for number in (i for i, (r, _) in enumerate(models.members) if r is recipe):
                heartbeat.beat()
                if self._works(recipe, number):
                    break
        if not self.bytes_per_frame and self._raised and devices.on_gpu:
            raise DeviceError(
                f"{', '.join(dict.fromkeys(devices.names))}: no network works there: {self._raised[0]}. The run goes "
                "on without a GPU."
            )

    @property
    def window_bytes(self) -> int:
        """Host memory that the longest window of any recipe takes; none where a GPU takes it."""
        if self._devices.on_gpu:
            return 0
        recipes = {recipe.name: recipe for recipe in self._models.recipes}
        longest = self._models.sizes.longest_window
        return max(int(cost * longest(recipes[name])) for name, cost in self.bytes_per_frame.items())

    @property
    def pinned_bytes(self) -> int:
        """Host memory that a lane on a GPU locks for its largest batches, and cuDNN takes for its plans there."""
        if not self._devices.on_gpu:
            return 0
        largest = max(self._frame_bytes[name] * frames for name, frames in self.batch_frames.items())
        return PINNED_BATCHES * largest + CUDNN_PLANS * CUDNN_PLAN_BYTES

    def frames_pinned(self, name: str, n_bytes: int) -> int:
        """Windows x frames of a batch of a recipe for which a GPU's lane has so much of the host's memory."""
        room = max(n_bytes // 2, n_bytes - CUDNN_PLANS * CUDNN_PLAN_BYTES) // PINNED_BATCHES
        return max(1, min(self.batch_frames[name], room // self._frame_bytes[name]))

    @property
    def group_bytes(self) -> int:
        """Host memory in which every recipe's networks can share what neighbouring windows show; see frames_of_group.

        None where no network does that.
        """
        return max(
            (int(self.bytes_per_frame[name] * self._frames(name, frames_of_group)) for name in self._sharing), default=0
        )

    def frames_in(self, name: str, n_bytes: int) -> int:
        """Windows x frames of a batch of a recipe for which a lane's host memory is enough."""
        if name not in self._sharing:
            n_bytes = min(n_bytes, self.lane_bytes.get(name, n_bytes))
        frames = max(1, int(n_bytes / self.bytes_per_frame[name]))
        if name not in self._sharing:
            return frames
        return self._frames(name, lambda view, length: frames_in_room(view, length, frames), least=True)

    def _frames(self, name: str, count: Callable[[View, int], int], least: bool = False) -> int:
        """The most, or the least, frames that any view of a recipe counts in a long clip."""
        recipe = next(recipe for recipe in self._models.recipes if recipe.name == name)
        length = self._models.sizes.shape(recipe, LONG_CLIP_SECONDS)[2]
        counted = [count(self._models.sizes.view(recipe, number), length) for number in range(len(recipe.views))]
        return min(counted) if least else max(counted)

    def _works(self, recipe: Recipe, number: int) -> bool:
        """Whether a member's costs could be measured; devices that break meanwhile are lost."""
        while True:
            try:
                predictors = self._models.predictors(number)
                if predictors is not None:
                    self._measure(recipe, predictors)
                return predictors is not None
            except DeviceError as error:
                self._devices.lose(error)
                self._models.unload(number)
            except Exception as error:  # whatever a network raises costs that member, and is named
                self._raised += [] if isinstance(error, KitError) else [sentence(error)]
                self._models.skip(number, f"{type(error).__name__}: {error}")
                return False

    def _measure(self, recipe: Recipe, predictors: Mapping[str, Predictor]) -> None:
        sizes = self._models.sizes
        shape = sizes.shape(recipe, PROBE_SECONDS)
        view = sizes.view(recipe, 0)
        self._frame_bytes[recipe.name] = 4 * shape[0] * shape[1]
        first = next(iter(predictors))
        is_alone = sum(one is recipe for one, _ in self._models.members) == 1
        self.coming_bytes = max(self.coming_bytes, *(p.coming_bytes(is_alone) for p in predictors.values()))
        with _named(first):
            probed = probe(predictors[first], view, shape)
        if self._devices.on_gpu:
            frames = []
            for device, predictor in predictors.items():
                if recipe.is_graph:  # an ONNX file: its lane is the GPU's, its memory the host's
                    frames.append(max(1, int(CPU_BATCH_BYTES / probed.bytes_per_frame)))
                    continue
                with _named(device):
                    free, _ = torch.cuda.mem_get_info(device)
                    most = min(GPU_FRAMES, int(GPU_SHARE * free / probed.bytes_per_frame))
                    longest = sizes.shape(recipe, LONG_CLIP_SECONDS)
                    frames.append(fit_worst_batch(predictor, view, longest, max(1, most)))
            self.batch_frames[recipe.name] = min(frames)
            torch.cuda.empty_cache()  # so that the next recipe finds the memory that this one found
        speed = self.speed.setdefault(recipe.name, Estimate())
        speed.add(shape[2], shape[2] * probed.seconds_per_frame)
        self.bytes_per_frame[recipe.name] = probed.bytes_per_frame
        views = (sizes.view(recipe, number) for number in range(len(recipe.views)))
        if all(predictors[first].can_share(each) for each in views):
            self._sharing.add(recipe.name)
        elif not self._devices.on_gpu:
            most = paying_bytes(predictors[first], view, shape, probed, CPU_BATCH_BYTES)
            self.lane_bytes[recipe.name] = most


@contextmanager
def _named(device: str) -> Iterator[None]:
    """What a broken device raises names it."""
    try:
        yield
    except Exception as error:  # whatever it raises
        if device == "cpu" or not is_broken_device(error):
            raise
        raise lost(device, str(error)) from error
