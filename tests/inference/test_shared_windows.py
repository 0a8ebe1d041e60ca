"""What overlapping windows share is computed once, and their answers are those of each window by itself."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tile_windows import tiles_for, windows_of
from torch import Tensor, nn

from soundpost.audio.windows import Samples, WindowSettings
from soundpost.engine.batching import Groups, Unit
from soundpost.front_ends.log_mel import LogMel, LogMelSettings
from soundpost.front_ends.log_stft import LogStft, LogStftSettings
from soundpost.front_ends.row_pictures import RowPictures
from soundpost.functional.strips import Run, Stage, maps_of_run, worth_sharing
from soundpost.inference.shared_windows import frames_in_room, frames_of_group, shared_logits, sharing_of
from soundpost.models.argus import ArgusSettings, AuxSkipAttention, RnnAuxSkipAttention, SkipAttention
from soundpost.models.ex4sperans import Ex4sperans1d, Ex4sperans2d, Ex4speransSettings
from soundpost.registry import build
from soundpost.views import VIEWS
from soundpost.views.batch import stack
from soundpost.views.rows import Overlap, Piece, RowsView
from soundpost.views.tiles import Tiles, TilesSettings
from soundpost.views.whole import Whole, WholeSettings

RATE = 16_000  # Hz
SAME_LOGIT = 1e-5
ARGUS = ArgusSettings(base_size=4, ratio=4)
LINES = Ex4speransSettings(blocks=3, base=6, start=1, bins=16)


def networks() -> dict[str, nn.Module]:
    """Small ones of every class that shares; what each layer gives varies with its windows, so that all matter."""
    torch.manual_seed(0)
    made: dict[str, nn.Module] = {
        "argus": SkipAttention(ARGUS, 5),
        "argus with auxiliary heads": AuxSkipAttention(ARGUS, 5),
        "argus, recurrent": RnnAuxSkipAttention(ARGUS, 5),
        "ex4sperans over planes": Ex4sperans2d(LINES, 5),
        "ex4sperans over lines": Ex4sperans1d(LINES, 5),
        "ex4sperans, recurrent": Ex4sperans2d(Ex4speransSettings(blocks=3, base=6, start=1, aggregation="rnn"), 5),
    }
    for name, network in made.items():
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.momentum = 1.0
        view = tiles_for(name, 32)
        with torch.no_grad():  # statistics that fit what comes
            network.train()(view.prepare(windows_of(view, (300, 400), seed=9)))
    return {name: network.eval() for name, network in made.items()}


@pytest.mark.parametrize("step", [16, 32, 64, 127])
@pytest.mark.parametrize("name", list(networks()))
@torch.inference_mode()
def test_windows_that_share_have_the_logits_that_each_has_alone(name: str, step: int) -> None:
    """Clips of several tiles, a clip of one, padded ends, a step that no stage divides; every class that shares."""
    network, view = networks()[name], tiles_for(name, step)
    batch = windows_of(view, (300, 90, 500))
    sharing = sharing_of(network, view, batch)
    assert sharing is not None
    assert bool(sharing.runs) == (step != 127)

    inputs = view.prepare(batch)
    found = shared_logits(network, inputs, sharing)
    alone = torch.cat([_logits(network(window[None])) for window in inputs])

    assert float((found - alone).abs().max()) <= SAME_LOGIT * max(1.0, float(alone.abs().max()))
    assert float(alone.std(0).min()) > 1e3 * SAME_LOGIT, "these windows are too alike to show anything"


def _logits(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[0]


def test_runs_are_the_windows_of_one_clip_that_overlap() -> None:
    """A clip's windows are one run, a lone window is in none, and another clip begins another."""
    network, view = networks()["argus"], tiles_for("argus", 32)
    sharing = sharing_of(network, view, windows_of(view, (128, 200, 300)))
    assert sharing is not None
    assert sharing.runs == (Run(1, 4, 32), Run(5, 7, 32))
    assert sharing.margin == 4


@pytest.mark.parametrize("changed", [(0, 0, 40), (0, 15, 127), (0, 8, 64)])
def test_window_that_differs_in_one_number_is_shared_with_nobody(changed: tuple[int, int, int]) -> None:
    """Whether windows share is read off their numbers, whatever a view says of them."""
    network, view = networks()["argus"], tiles_for("argus", 32)
    batch = windows_of(view, (160,))
    assert len(batch) == 2
    assert sharing_of(network, view, batch).runs == (Run(0, 2, 32),)
    batch[0][changed] += 1e-3
    assert sharing_of(network, view, batch).runs == ()


def test_network_in_training_mode_and_views_that_promise_nothing_share_nothing() -> None:
    """Statistics of a batch, or windows that a view may prepare in any way, are no function of near frames."""
    network, view = networks()["argus"], tiles_for("argus", 32)
    batch = windows_of(view, (300,))
    assert sharing_of(network.train(), view, batch) is None
    assert sharing_of(networks()["argus"], Whole(WholeSettings()), batch) is None
    assert sharing_of(nn.Conv2d(1, 1, 3), view, batch) is None


LINES_OF_ROWS = LogStft(LogStftSettings(sample_rate=RATE, n_fft=256, hop_length=100, n_mels=16))
DELTAS_OF_ROWS = LogMel(LogMelSettings(sample_rate=RATE, n_fft=256, hop_length=100, n_mels=16, top_db=0.0, deltas=2))


@pytest.mark.parametrize("scope", ["window", "recording"])
@pytest.mark.parametrize("name", list(networks()))
@torch.inference_mode()
def test_rows_that_hear_the_same_seconds_have_the_logits_that_each_has_alone(name: str, scope: str) -> None:
    """Rows of 1 s in the middle of 4 s (641 frames, an odd number), each alone or cut from one spectrogram."""
    network = networks()[name]
    front_end = DELTAS_OF_ROWS if "argus" in name else LINES_OF_ROWS
    settings = WindowSettings(seconds=1.0, context_seconds=4.0, scope=scope)
    pictures = RowPictures(front_end, settings, RATE)
    waveform = np.random.default_rng(3).normal(0, 0.1, 12 * RATE).astype(np.float32)
    waveform *= np.repeat(np.random.default_rng(4).uniform(0.05, 1.0, 24), RATE // 2).astype(np.float32)
    array = pictures(Samples([(0, waveform)]), 0, 12, 12).numpy() / np.float32(10)
    overlap = pictures.overlap()
    assert overlap is not None
    view = RowsView(
        Whole(WholeSettings()), lambda frames: [Piece(*p) for p in pictures.pieces(frames)], Overlap(*overlap)
    )
    windows = view.windows(array.shape[2])
    batch = stack([array] * len(windows), windows, view)
    assert (batch.shape[0], batch.shape[3]) == (12, 641)

    sharing = sharing_of(network, view, batch)
    assert sharing is not None
    longest = max(run.count for run in sharing.runs)  # windows that reach beyond the recording hear silence there
    assert longest == 12 if scope == "recording" else longest >= 6
    found = shared_logits(network, view.prepare(batch), sharing)
    alone = torch.cat([_logits(network(window[None])) for window in view.prepare(batch)])

    assert float((found - alone).abs().max()) <= SAME_LOGIT * max(1.0, float(alone.abs().max()))
    assert float(alone.std(0).min()) > 1e2 * SAME_LOGIT, "these rows are too alike to show anything"


@pytest.mark.parametrize(
    ("windows", "hop", "shared"),
    [
        (WindowSettings(context_seconds=20.0), 100, (800, 2)),
        (WindowSettings(context_seconds=20.0, scope="recording"), 100, (800, 0)),
        (WindowSettings(context_seconds=20.0), 96, None),
        (WindowSettings(), 100, None),
        (WindowSettings(context_seconds=20.0, shifts=(0.0, 1.0), shift_weights=(1.0, 1.0)), 100, None),
    ],
    ids=["window", "recording", "a row is no number of hops", "no context", "shifts"],
)
def test_rows_overlap_where_a_row_is_a_whole_number_of_hops(
    windows: WindowSettings, hop: int, shared: tuple[int, int] | None
) -> None:
    """Frames of neighbours lie on the same samples, or are other frames: 160,000 samples are 312.5 hops of 512."""
    front_end = LogStft(LogStftSettings(sample_rate=RATE, n_fft=256, hop_length=hop, n_mels=16))
    assert RowPictures(front_end, windows, RATE).overlap() == shared


def test_room_for_rows_is_counted_by_their_frames_once() -> None:
    """Windows of 20 s every 5 s: four of them show 35 s, whether they stand one behind the other or overlap."""
    for scope in ("window", "recording"):
        pictures = RowPictures(LINES_OF_ROWS, WindowSettings(context_seconds=20.0, scope=scope), RATE)
        overlap = pictures.overlap()
        assert overlap is not None
        view = RowsView(
            Whole(WholeSettings(max_frames=9999)),
            lambda frames, pictures=pictures: [Piece(*p) for p in pictures.pieces(frames)],
            Overlap(*overlap),
        )
        frames = pictures.shape(12)[2]
        assert frames_of_group(view, frames, 4) == 3201 + 3 * 800
        assert frames_in_room(view, frames, 3201 + 1700) == 3 * 3201


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_views_that_overlap_name_how_far_prepare_reaches(name: str) -> None:
    """A view says so only where its cut windows repeat the clip's frames; no other one has the attribute."""
    view = build(VIEWS, name, {}, "view")
    assert hasattr(view, "prepare_reach") == (name == "tiles")


def test_stages_are_shared_as_long_as_a_strip_has_fewer_columns() -> None:
    """Ends that are computed anew grow with every stage; a step that a stage does not divide ends the sharing."""
    stages = [Stage(nn.Identity(), reach=2, stride=2)] * 4
    assert worth_sharing(stages, 256, 64, 4) == 4
    assert worth_sharing(stages, 256, 128, 4) == 3
    assert worth_sharing(stages, 256, 66, 4) == 1
    assert worth_sharing(stages, 256, 33, 4) == 0
    assert worth_sharing(stages, 256, 250, 4) == 0


@torch.inference_mode()
def test_maps_of_a_run_are_computed_over_fewer_columns_than_its_windows_have() -> None:
    """The saving is there: the first stage sees each frame of the clip about once, not four times."""
    torch.manual_seed(1)
    seen: list[int] = []
    layer = nn.Conv1d(3, 3, 5, padding=2)

    def counted(batch: Tensor) -> Tensor:
        seen.append(batch.shape[0] * batch.shape[-1])
        return layer(batch)

    clip = torch.randn(3, 256 + 7 * 64)
    windows = torch.stack([clip[:, 64 * i : 64 * i + 256] for i in range(8)])
    (maps,) = maps_of_run([Stage(counted, reach=2, stride=1)], windows, 64, 0)

    torch.testing.assert_close(maps, layer(windows), rtol=0, atol=1e-6)
    assert sum(seen) < 0.45 * 8 * 256


def test_room_for_neighbours_is_counted_by_their_frames_once() -> None:
    """Four tiles at a step of 64 show 448 frames, so room for one tile and a half holds three."""
    view = Tiles(TilesSettings(step=64))
    assert frames_of_group(view, 2000, 4) == 448
    assert frames_in_room(view, 2000, 384) == 3 * 256
    assert frames_in_room(view, 2000, 10) == 256
    assert frames_in_room(Tiles(TilesSettings(step=256)), 2000, 600) == 2 * 256


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((3, 3, 3), [[0, 0, 0], [1, 1, 1], [2, 2, 2]]),
        ((5, 2), [[0] * 5, [1, 1]]),
        ((9, 1), [[0] * 3, [0] * 6, [1]]),
        ((13,), [[0] * 4, [0] * 3, [0] * 6]),
        ((1, 1, 1, 1, 1), [[0, 1, 2, 3], [4]]),
    ],
)
def test_windows_of_a_clip_stay_together_where_they_share_work(
    counts: Sequence[int], expected: list[list[int]]
) -> None:
    """A batch ends where a clip ends; a clip that is too long comes in equal parts."""
    groups = Groups(budget_frames=40, max_units=99, keeps_clips=True)
    for clip, count in enumerate(counts):
        groups.add([Unit(clip, i, 10) for i in range(count)], known=True)
    batches = []
    while batch := groups.take(hungry=True):
        batches.append([unit.clip for unit in batch])
    assert batches == expected
