"""A few epochs of any network on any examples: one cycle of the learning rate, resumed as if never stopped."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from soundpost.training.mixup import mixed
from soundpost.training.one_cycle import FASTAI_V1, rate_and_momentum
from soundpost.training.windows import Examples

MOMENTUM = 0.1  # what batch norms' running statistics keep at each batch, once there were enough batches


@dataclass(frozen=True)
class LearnerSettings:
    """How long and how fast a network learns."""

    epochs: int = 10  # passes over the training clips, each of which shows one window
    batch: int = 16  # windows
    learning_rate: float = 1e-3  # at the top of the cycle
    weight_decay: float = 0.01  # AdamW's
    heads: tuple[float, ...] = (1.0,)  # weights of the losses of the network's outputs, the first that of prediction
    mixup: float = 0.0  # both parameters of the Beta distribution of shares; 0 mixes nothing
    longest: int = 0  # frames that windows are cut to, at a place drawn for each; 0 cuts nothing


class Learner:
    """Trains a network by its loss alone: binary cross-entropy before a sigmoid, cross-entropy before a softmax.

    Layers that have a method constrain are held to it after every step.
    """

    def __init__(
        self, network: nn.Module, examples: Examples, activation: str, settings: LearnerSettings, seed: int
    ) -> None:
        """Everything that training depends on.

        Args:
            network: freshly made, on its device.
            examples: what it learns from.
            activation: "sigmoid" or "softmax", what follows its logits at prediction.
            settings: how long and how fast.
            seed: decides windows, order, mixing and dropout.
        """
        self.network = network
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack this one
        self.examples = examples
        self.activation = activation
        self.settings = settings
        self.seed = seed
        self.device = next(network.parameters()).device
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.losses: list[float] = []  # mean of each epoch

    def run(self, checkpoint: Path | None, name: str, stop_after: int | None = None) -> nn.Module:
        """The network after the last epoch, in evaluation mode.

        Args:
            checkpoint: file to go on from where it exists, and to write after every epoch.
            name: the member's, for the progress bar.
            stop_after: epochs after which to stop early, as an interruption would.
        """
        if checkpoint is not None and checkpoint.exists():
            self._restore(checkpoint)
        epochs = self.settings.epochs
        last = epochs if stop_after is None else min(stop_after, epochs)
        with tqdm(total=epochs, initial=len(self.losses), desc=name, unit="epoch", mininterval=1) as bar:
            while len(self.losses) < last:
                self.losses.append(self._train_epoch(len(self.losses)))
                if checkpoint is not None:
                    self._save(checkpoint)
                bar.set_postfix(loss=f"{self.losses[-1]:.4f}", refresh=False)
                bar.update()
        return self.network.eval()

    def _train_epoch(self, epoch: int) -> float:
        # Every epoch has its own seed, so that a resumed run draws what an uninterrupted one draws.
        torch.manual_seed(self.seed * 100_003 + epoch)
        generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
        steps = -(-len(self.examples) // self.settings.batch)
        self.network.train()
        total = 0.0
        for number, (inputs, targets) in enumerate(self.examples.batches(steps, generator)):
            step, peak = epoch * steps + number, self.settings.learning_rate
            rate, momentum = rate_and_momentum(FASTAI_V1, peak, step, self.settings.epochs * steps)
            for group in self.optimizer.param_groups:
                group["lr"], group["betas"] = rate, (momentum, group["betas"][1])
            self._settle_norms(step)
            total += self._step(inputs.to(self.device), targets.to(self.device))
        return total / steps

    def _settle_norms(self, step: int) -> None:
        """Running statistics as plain means at first: a brief training would never forget what they begin with."""
        for module in self.network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = max(MOMENTUM, 1 / (step + 1))

    def _step(self, inputs: Tensor, targets: Tensor) -> float:
        if self.settings.mixup:
            drawn = torch.distributions.Beta(self.settings.mixup, self.settings.mixup).sample((len(inputs),))
            inputs, targets = mixed(inputs, targets, drawn.to(self.device), torch.randperm(len(inputs)))
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        loss = self._loss(self.network(inputs), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        for module in self.network.modules():
            constrain = getattr(module, "constrain", None)
            if constrain is not None:
                constrain()
        return loss.item()

    def _loss(self, outputs: Tensor | Sequence[Tensor], targets: Tensor) -> Tensor:
        """The loss of the outputs that have a weight, summed with these."""
        several = outputs if isinstance(outputs, (tuple, list)) else [outputs]
        weighed = zip(self.settings.heads, several, strict=False)
        return sum((weight * self._criterion(logits, targets) for weight, logits in weighed), targets.new_zeros(()))

    def _criterion(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.activation == "softmax":
            return functional.cross_entropy(logits, targets / targets.sum(1, keepdim=True))
        return functional.binary_cross_entropy_with_logits(logits, targets)

    def _save(self, checkpoint: Path) -> None:
        """The network alone, of a finished training: what only going on would need is left out."""
        state = {"losses": self.losses, "network": self.network.state_dict()}
        if len(self.losses) < self.settings.epochs:
            state["optimizer"] = self.optimizer.state_dict()
        aside = checkpoint.with_suffix(".part")
        torch.save(state, aside)
        aside.replace(checkpoint)

    def _restore(self, checkpoint: Path) -> None:
        state = torch.load(checkpoint, map_location=self.device, weights_only=True)
        self.losses = state["losses"]
        self.network.load_state_dict(state["network"])
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
