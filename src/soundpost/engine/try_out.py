"""The networks tried out before the first pass: what a window x frame costs, how large a GPU's batch may be."""

from soundpost.ensemble.recipes import Recipe
from soundpost.errors import DeviceError
from soundpost.inference.model_pool import Roster
from soundpost.inference.profiling import GPU_SHARE, fit_worst_batch, probe
from soundpost.resources.deadline import Estimate

PROBE_SECONDS = 10.0  # audio in the batch that tries a network out
LONG_CLIP_SECONDS = 30.0  # a clip of this length must fit a GPU's batch
GPU_FRAMES = 400_000  # most windows x frames of a batch on a GPU, however much memory there is


class TryOut:
    """Each recipe's costs, by its first member that works.

    Args:
        models: members; their devices are those on which they are tried out.
    """

    def __init__(self, models: Roster) -> None:
        self._models = models
        self.bytes_per_frame: dict[str, float] = {}  # recipe -> bytes for each window x frame
        self.speed: dict[str, Estimate] = {}  # recipe -> seconds for each window x frame
        self.batch_frames: dict[str, int] = {}  # recipe -> most windows x frames in a batch, on a GPU
        for recipe in models.recipes:
            self._try_members(recipe)

    @property
    def on_gpu(self) -> bool:
        """Whether the devices are no cores."""
        return self._models.devices[0] != "cpu"

    @property
    def window_bytes(self) -> int:
        """Host memory that the longest window of any recipe takes; none where a GPU takes it."""
        if self.on_gpu:
            return 0
        recipes = {recipe.name: recipe for recipe in self._models.recipes}
        longest = self._models.longest_window
        return max(int(cost * longest(recipes[name])) for name, cost in self.bytes_per_frame.items())

    def _try_members(self, recipe: Recipe) -> None:
        """One member after the other, until one works.

        Raises:
            DeviceError: the GPU does not.
        """
        models = self._models
        for number in (i for i, (r, _) in enumerate(models.members) if r is recipe and models.predictors(i)):
            try:
                self._measure(recipe, number)
                return
            except Exception as error:  # whatever a network raises costs that member, and is named
                if self.on_gpu and "CUDA" in str(error):
                    raise DeviceError(f"{models.devices[0]}: {error}. The run goes on without it.") from error
                models.skip(number, f"{type(error).__name__}: {error}")

    def _measure(self, recipe: Recipe, number: int) -> None:
        models = self._models
        predictors = models.predictors(number)
        assert predictors is not None
        shape = models.shape(recipe, PROBE_SECONDS)
        view = models.view(recipe, 0)
        probed = probe(next(iter(predictors.values())), view, shape)
        speed = self.speed.setdefault(recipe.name, Estimate())
        speed.add(shape[2], shape[2] * probed.seconds_per_frame)
        if self.on_gpu:
            import torch

            free = min(torch.cuda.mem_get_info(device)[0] for device in models.devices)
            frames = min(GPU_FRAMES, int(GPU_SHARE * free / probed.bytes_per_frame))
            longest = models.shape(recipe, LONG_CLIP_SECONDS)
            self.batch_frames[recipe.name] = min(
                fit_worst_batch(predictor, view, longest, max(1, frames)) for predictor in predictors.values()
            )
        self.bytes_per_frame[recipe.name] = probed.bytes_per_frame
