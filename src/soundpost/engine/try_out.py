"""The networks tried out before the first pass: what a window x frame costs, how large a GPU's batch may be."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from soundpost.engine.devices_in_use import DevicesInUse, lost
from soundpost.engine.heartbeat import Heartbeat
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import DeviceError, KitError, sentence
from soundpost.inference.device_errors import is_broken_device
from soundpost.inference.model_pool import ModelPool
from soundpost.inference.predictor import Predictor
from soundpost.inference.profiling import fit_worst_batch, probe
from soundpost.resources.deadline import Estimate
from soundpost.resources.memory_budget import GPU_SHARE

PROBE_SECONDS = 10.0  # audio in the batch that tries a network out
LONG_CLIP_SECONDS = 30.0  # a clip of this length must fit a GPU's batch
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
        self.batch_frames: dict[str, int] = {}  # recipe -> most windows x frames in a batch, on a GPU
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
        first = next(iter(predictors))
        with _named(first):
            probed = probe(predictors[first], view, shape)
        if self._devices.on_gpu:
            frames = []
            for device, predictor in predictors.items():
                with _named(device):
                    free, _ = torch.cuda.mem_get_info(device)
                    most = min(GPU_FRAMES, int(GPU_SHARE * free / probed.bytes_per_frame))
                    longest = sizes.shape(recipe, LONG_CLIP_SECONDS)
                    frames.append(fit_worst_batch(predictor, view, longest, max(1, most)))
            self.batch_frames[recipe.name] = min(frames)
        speed = self.speed.setdefault(recipe.name, Estimate())
        speed.add(shape[2], shape[2] * probed.seconds_per_frame)
        self.bytes_per_frame[recipe.name] = probed.bytes_per_frame


@contextmanager
def _named(device: str) -> Iterator[None]:
    """What a broken device raises names it."""
    try:
        yield
    except Exception as error:  # whatever it raises
        if device == "cpu" or not is_broken_device(error):
            raise
        raise lost(device, str(error)) from error
