"""What every augmentation is: a part that draws and a part that does what was drawn."""

from typing import Any, ClassVar, Protocol

from torch import Generator

from soundpost.training.batch import Batch


class Augmentation(Protocol):
    """Something that happens to training clips; the trainer calls both parts, golden cases feed the second."""

    Settings: ClassVar[type]

    def draw(self, batch: Batch, generator: Generator) -> Any:
        """What happens to each clip: tensors with one row a clip, on the processor."""
        ...

    def apply(self, batch: Batch, drawn: Any) -> Batch:
        """The batch after what was drawn has happened; the given one stays as it is."""
        ...
