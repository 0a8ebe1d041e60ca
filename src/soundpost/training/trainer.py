"""One member is trained: composed batches, binary cross-entropy, averaged weights; resumed as if never stopped."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from soundpost.training.bank import Bank
from soundpost.training.compose import Composer, ComposeSettings
from soundpost.training.config import FitSettings
from soundpost.training.schedules import WeightAverage, learning_rate


class Trainer:
    """Trains a network on the sources it is given and on nothing else; no score is looked at on the way."""

    def __init__(
        self,
        network: nn.Module,
        bank: Bank,
        sources: torch.Tensor,
        settings: tuple[ComposeSettings, FitSettings],
        frames_per_second: float,
        seed: int,
    ) -> None:
        """Everything that training depends on.

        Args:
            network: freshly made, on the bank's device.
            bank: mel powers of all sources.
            sources: (clips,) rows of the bank that may be heard.
            settings: how clips are composed and members fitted.
            frames_per_second: the front end's.
            seed: decides composing, order, lengths and dropout.
        """
        self.network = network
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack this one
        self.device = bank.powers.device
        self.settings = settings[1]
        self.bank = Bank(bank.powers[:, sources], bank.lengths[:, sources], bank.truth[sources])
        self.generator = torch.Generator(self.device)
        self.composer = Composer(self.bank, settings[0], self.generator)
        self.frames_per_second = frames_per_second
        self.seed = seed
        decayed = [p for p in network.parameters() if p.ndim > 1 and p.shape[0] > 1]
        plain = [p for p in network.parameters() if not (p.ndim > 1 and p.shape[0] > 1)]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": self.settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
            lr=self.settings.learning_rate,
            fused=self.device.type == "cuda",
        )
        self.average = WeightAverage(network, self.settings.average_decay)
        self.epoch = 0

    def start_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Begin with another training's weights, named as the network's state dict names them."""
        self.network.load_state_dict(weights)
        self.average.network.load_state_dict(weights)

    def run(self, checkpoint: Path | None, name: str, stop_after: int | None = None) -> nn.Module:
        """The averaged network after the last epoch.

        Args:
            checkpoint: file to go on from where it exists, and to write every settings.checkpoint epochs.
            name: the member's, for the progress bar.
            stop_after: epochs after which to stop early, as an interruption would.
        """
        if checkpoint is not None and checkpoint.exists():
            self._restore(checkpoint)
        last = self.settings.epochs if stop_after is None else min(stop_after, self.settings.epochs)
        with tqdm(total=self.settings.epochs, initial=self.epoch, desc=name, unit="epoch", mininterval=1) as bar:
            while self.epoch < last:
                loss = self._train_epoch()
                self.epoch += 1
                if checkpoint is not None and (self.epoch % self.settings.checkpoint == 0 or self.epoch == last):
                    self._save(checkpoint)
                if self.epoch % 10 == 0:
                    bar.set_postfix(loss=f"{loss.item():.4f}", refresh=False)
                bar.update()
        return self.average.network

    def _train_epoch(self) -> torch.Tensor:
        # Every epoch has its own seed, so that a resumed run draws what an uninterrupted one draws.
        torch.manual_seed(self.seed * 100_003 + self.epoch)
        self.generator.manual_seed(self.seed * 100_003 + self.epoch)
        count = len(self.bank.truth)
        order = torch.randperm(count, generator=self.generator, device=self.device)
        steps = -(-count // self.settings.batch)
        self.network.train()
        total = torch.zeros((), device=self.device)
        for number, first in enumerate(order.tensor_split(steps)):
            rate = learning_rate(
                self.epoch * steps + number,
                self.settings.epochs * steps,
                self.settings.warm_up * steps,
                self.settings.learning_rate,
            )
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            total += self._step(*self.composer.batch(first, self._frames()))
            self.average.update()
        return total / steps

    def _frames(self) -> int:
        """Length of a batch's clips; from the processor's generator, so that no device is waited for."""
        shortest, longest = self.settings.shortest, self.settings.longest
        seconds = shortest * (longest / shortest) ** torch.rand(()).item()
        return max(8, round(seconds * self.frames_per_second))

    def _step(self, log_mels: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        inputs = log_mels.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.half):
            logits = self.network(inputs)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _save(self, checkpoint: Path) -> None:
        state = {
            "epoch": self.epoch,
            "updates": self.average.updates,
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        aside = checkpoint.with_suffix(".part")
        torch.save(state, aside)
        aside.replace(checkpoint)

    def _restore(self, checkpoint: Path) -> None:
        state = torch.load(checkpoint, map_location=self.device, weights_only=True)
        self.epoch, self.average.updates = state["epoch"], state["updates"]
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
