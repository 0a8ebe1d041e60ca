"""Heads on the embeddings of a waveform network, one for each window of a recording (BirdCLEF 2026, second place).

Both read a recording as a sequence of windows, forwards and backwards, through a recurrence whose step depends on what
it reads. Parameters are called as in the published checkpoints.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HOURS = 24


@dataclass(frozen=True)
class StateSpaceSettings:
    """Sizes of a head; the defaults are those of the prototype head."""

    d_input: int = 1536  # length of an embedding, with whatever is put beside it
    d_model: int = 128
    d_state: int = 16
    d_conv: int = 4  # windows that the convolution before a recurrence sees, the latest its own
    windows: int = 12  # longest sequence
    n_sites: int = 20  # site 0 stands for all that are not known
    meta_dim: int = 16
    layers: int = 2
    heads: int = 2


class Recurrence(nn.Module):
    """h <- h exp(-exp(A_log) step) + x step B; y = h C + D x, all but A and D depending on the window.

    The published block computes more than it uses: the second half of in_proj, and out_proj, reach no output. They are
    in the checkpoints, so they are here.
    """

    def __init__(self, d_model: int, d_state: int, d_conv: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(d_model, 2 * d_model, bias=False)
        self.conv1d = nn.Conv1d(d_model, d_model, d_conv, padding=d_conv - 1, groups=d_model)
        self.dt_proj = nn.Linear(d_model, d_model)
        self.B_proj = nn.Linear(d_model, d_state, bias=False)
        self.C_proj = nn.Linear(d_model, d_state, bias=False)
        self.out_proj = nn.Linear(d_model, d_model, bias=False)
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(d_model, 1))
        self.D = nn.Parameter(torch.ones(d_model))

    def forward(self, x: Tensor) -> Tensor:
        """(recordings, windows, d_model) -> the same shape; a window sees those before it alone."""
        windows, width = x.shape[1], x.shape[2]
        seen = self.in_proj(x)[..., :width].transpose(1, 2)
        u = F.silu(self.conv1d(seen)[..., :windows]).transpose(1, 2)
        step = F.softplus(self.dt_proj(u))[..., None]
        keep = torch.exp(-torch.exp(self.A_log) * step)
        add = x[..., None] * step * self.B_proj(u)[:, :, None, :]
        state, read = torch.zeros_like(add[:, 0]), self.C_proj(u)[:, :, None, :]
        answers = []
        for t in range(windows):
            state = state * keep[:, t] + add[:, t]
            answers.append((state * read[:, t]).sum(dim=-1))
        return torch.stack(answers, dim=1) + x * self.D


class _Sequence(nn.Module):
    """What both heads begin with: embeddings, the window's place, and site and hour of the recording."""

    def __init__(self, settings: StateSpaceSettings) -> None:
        super().__init__()
        width = settings.d_model
        self.input_proj = nn.Sequential(nn.Linear(settings.d_input, width), nn.LayerNorm(width), nn.GELU())
        self.pos_enc = nn.Parameter(torch.zeros(1, settings.windows, width))
        self.site_emb = nn.Embedding(settings.n_sites, settings.meta_dim)
        self.hour_emb = nn.Embedding(HOURS, settings.meta_dim)
        self.meta_proj = nn.Linear(2 * settings.meta_dim, width)

    def begin(self, embeddings: Tensor, sites: Tensor, hours: Tensor) -> Tensor:
        """(recordings, windows, d_input) -> (recordings, windows, d_model); hour -1, not known, counts as 23."""
        hidden = self.input_proj(embeddings) + self.pos_enc[:, : embeddings.shape[1]]
        place = torch.cat([self.site_emb(sites), self.hour_emb(hours % HOURS)], dim=-1)
        return hidden + self.meta_proj(place)[:, None]


def both_ways(forwards: nn.Module, backwards: nn.Module, merge: nn.Module, norm: nn.Module, hidden: Tensor) -> Tensor:
    """One recurrence in each direction, joined, added to what went in, and normalised."""
    joined = torch.cat([forwards(hidden), backwards(hidden.flip(1)).flip(1)], dim=-1)
    answer: Tensor = norm(merge(joined) + hidden)
    return answer


class PrototypeStateSpace(_Sequence):
    """Cosine to a prototype of each class, mixed with the waveform network's own logits."""

    def __init__(self, settings: StateSpaceSettings, n_classes: int) -> None:
        super().__init__(settings)
        width, layers = settings.d_model, range(settings.layers)
        sizes = (width, settings.d_state, settings.d_conv)
        self.ssm_fwd = nn.ModuleList(Recurrence(*sizes) for _ in layers)
        self.ssm_bwd = nn.ModuleList(Recurrence(*sizes) for _ in layers)
        self.ssm_merge = nn.ModuleList(nn.Linear(2 * width, width) for _ in layers)
        self.ssm_norm = nn.ModuleList(nn.LayerNorm(width) for _ in layers)
        self.cross_attn = nn.ModuleList(nn.MultiheadAttention(width, settings.heads, batch_first=True) for _ in layers)
        self.cross_norm = nn.ModuleList(nn.LayerNorm(width) for _ in layers)
        self.prototypes = nn.Parameter(torch.zeros(n_classes, width))
        self.proto_temp = nn.Parameter(torch.tensor(5.0))
        self.class_bias = nn.Parameter(torch.zeros(n_classes))
        self.fusion_alpha = nn.Parameter(torch.zeros(n_classes))

    def forward(self, embeddings: Tensor, logits: Tensor, sites: Tensor, hours: Tensor) -> Tensor:
        """(recordings, windows, d_input), (recordings, windows, classes), (recordings,) twice -> logits."""
        hidden = self.begin(embeddings, sites, hours)
        layers = zip(
            self.ssm_fwd, self.ssm_bwd, self.ssm_merge, self.ssm_norm, self.cross_attn, self.cross_norm, strict=True
        )
        for forwards, backwards, merge, norm, attention, attention_norm in layers:
            hidden = both_ways(forwards, backwards, merge, norm, hidden)
            hidden = attention_norm(hidden + attention(hidden, hidden, hidden, need_weights=False)[0])
        cosine = F.normalize(hidden, dim=-1) @ F.normalize(self.prototypes, dim=-1).T
        own = cosine * F.softplus(self.proto_temp) + self.class_bias
        share = self.fusion_alpha.sigmoid()
        return share * own + (1 - share) * logits

    def shifted(
        self, embeddings: Tensor, logits: Tensor, sites: Tensor, hours: Tensor, shifts: tuple[int, ...], flipped: bool
    ) -> Tensor:
        """Mean of the logits over sequences rolled by some windows, and the reversed one."""
        views = [
            self(embeddings.roll(shift, 1), logits.roll(shift, 1), sites, hours).roll(-shift, 1) for shift in shifts
        ]
        if flipped:
            views.append(self(embeddings.flip(1), logits.flip(1), sites, hours).flip(1))
        return torch.stack(views).mean(dim=0)


class ResidualStateSpace(_Sequence):
    """A correction of a first answer, from it and the embeddings."""

    def __init__(self, settings: StateSpaceSettings, n_classes: int) -> None:
        super().__init__(settings)
        width = settings.d_model
        sizes = (width, settings.d_state, settings.d_conv)
        self.ssm_fwd, self.ssm_bwd = Recurrence(*sizes), Recurrence(*sizes)
        self.ssm_merge, self.ssm_norm = nn.Linear(2 * width, width), nn.LayerNorm(width)
        self.output_head = nn.Linear(width, n_classes)

    def forward(self, embeddings: Tensor, first: Tensor, sites: Tensor, hours: Tensor) -> Tensor:
        """(recordings, windows, embedding), (recordings, windows, classes), (recordings,) twice -> what to add."""
        hidden = self.begin(torch.cat([embeddings, first], dim=-1), sites, hours)
        hidden = both_ways(self.ssm_fwd, self.ssm_bwd, self.ssm_merge, self.ssm_norm, hidden)
        answer: Tensor = self.output_head(hidden)
        return answer
