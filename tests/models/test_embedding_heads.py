"""Heads over the embeddings of a recording's windows, as they can be used from Python."""

import torch

from soundpost.models.embedding_heads import PrototypeStateSpace, ResidualStateSpace, StateSpaceSettings

SIZES = StateSpaceSettings(d_input=6, d_model=8, d_state=3, windows=12, layers=1)


def drawn(head: torch.nn.Module) -> torch.nn.Module:
    """The head with weights that differ."""
    torch.manual_seed(0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return head.eval()


@torch.inference_mode()
def test_prototypes_mix_their_own_answer_with_the_networks_by_class() -> None:
    """A recording's answers are its own in any batch; a class with no share of its own keeps the network's logit."""
    head = drawn(PrototypeStateSpace(SIZES, 4))
    head.fusion_alpha[2] = -40.0
    embeddings, logits = torch.randn(3, 12, 6), torch.randn(3, 12, 4)
    sites, hours = torch.tensor([0, 1, 2]), torch.tensor([-1, 5, 23])
    together = head(embeddings, logits, sites, hours)
    alone = head(embeddings[1:2], logits[1:2], sites[1:2], hours[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)
    torch.testing.assert_close(together[..., 2], logits[..., 2], rtol=0, atol=1e-5)
    rolled = head.shifted(embeddings, logits, sites, hours, (0,), flipped=False)
    torch.testing.assert_close(rolled, together, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_residual_sees_every_window_of_its_recording() -> None:
    """What a window says changes the correction of those before and behind it."""
    head = drawn(ResidualStateSpace(StateSpaceSettings(d_input=10, d_model=8, d_state=3, windows=12), 4))
    embeddings, first = torch.randn(1, 12, 6), torch.randn(1, 12, 4)
    sites, hours = torch.tensor([0]), torch.tensor([4])
    before = head(embeddings, first, sites, hours)
    embeddings[0, 5] += 1.0
    moved = (head(embeddings, first, sites, hours) - before).abs().amax(dim=2)[0]
    assert moved[4] > 1e-6
    assert moved[6] > 1e-6
