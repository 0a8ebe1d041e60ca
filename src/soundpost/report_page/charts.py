"""Pictures of a run as SVG text: what ran when, memory, speed, answers of each label, spectrograms as PNG."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, BLUE, ORANGE, GREEN, GREY = "#333333", "#3b6ea8", "#d1762c", "#4b8b57", "#b9bcc2"
WIDTH = 9.6  # inches of a chart over the whole page
BINS = [i / 20 for i in range(21)]  # edges in a histogram of probabilities
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "soundpost",  # the same run gives the same page
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
}


def timeline(table: dict[str, Any]) -> str:
    """Passes, lanes and writes over the seconds of the run."""
    lanes = sorted({row[0] for row in table["lanes"]})
    figure, axes = _figure(0.5 + 0.34 * (len(table["passes"]) + len(lanes) + 1))
    names: list[str] = []
    for number, work in enumerate(table["passes"]):
        end = work["end"] if work["end"] is not None else table["seconds"]
        axes.barh(
            number, end - work["begin"], left=work["begin"], height=0.6, color=BLUE if work["complete"] else ORANGE
        )
        names.append(work["name"])
    for lane in lanes:
        spans = [(begin, max(end - begin, 1e-3)) for which, begin, end, _ in table["lanes"] if which == lane]
        axes.broken_barh(spans, (len(names) - 0.3, 0.6), color=GREEN)
        devices = table["ready"].get("devices", [])
        names.append(f"lane {lane}, {devices[lane]}" if lane < len(devices) else f"lane {lane}")
    axes.plot([at for at, _ in table["writes"]], [len(names)] * len(table["writes"]), "|", color=INK, markersize=9)
    axes.set_yticks(range(len(names) + 1), [*names, "submission written"])
    axes.invert_yaxis()
    axes.set_xlim(0, max(table["seconds"], 0.1))
    axes.set_xlabel("seconds since the start")
    return _svg(figure)


def memory(table: dict[str, Any]) -> str:
    """Bytes of all processes, and of spectrograms in memory and on disk, against the limit."""
    figure, axes = _figure(2.4)
    samples = np.array(table["samples"], float).reshape(-1, 5)
    axes.plot(samples[:, 0], samples[:, 1] / 1e6, color=BLUE, label="all processes")
    axes.plot(samples[:, 0], samples[:, 2] / 1e6, color=GREEN, label="spectrograms in memory")
    axes.plot(samples[:, 0], samples[:, 3] / 1e6, color=ORANGE, label="spectrograms on disk")
    limit = table["ready"].get("memory_limit_bytes", 0) / 1e6
    peak = max(table["ended"].get("peak_bytes", 0) / 1e6, samples[:, 1].max(initial=0.0) / 1e6)
    if limit and limit < 4 * peak:
        axes.axhline(limit, color=INK, linestyle="--", label=f"limit, {limit:,.0f} MB")
    else:
        axes.plot([], [], " ", label=f"limit, {limit:,.0f} MB, lies far above" if limit else "no limit is known")
    axes.set_xlim(0, max(table["seconds"], 0.1))
    axes.set_ylim(0)
    axes.set_xlabel("seconds since the start")
    axes.set_ylabel("MB")
    axes.legend(frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(0, 1.3))
    return _svg(figure)


def speed(table: dict[str, Any]) -> str:
    """Clips, or rows, answered in a second, counted once for each pass that answered them, between two looks."""
    figure, axes = _figure(2.0)
    samples = np.array(table["samples"], float).reshape(-1, 5)
    begin = min((work["begin"] for work in table["passes"]), default=0.0)
    times, answers = np.concatenate([[begin], samples[:, 0]]), np.concatenate([[0.0], samples[:, 4]])
    seconds = np.diff(times)
    rates = np.diff(answers)[seconds > 1e-3] / seconds[seconds > 1e-3]
    axes.stairs(rates, np.concatenate([times[:1], times[1:][seconds > 1e-3]]), color=BLUE, fill=True, alpha=0.8)
    axes.set_xlim(0, max(table["seconds"], 0.1))
    axes.set_xlabel("seconds since the start")
    axes.set_ylabel(f"{table['ended'].get('unit', 'clips')} per second")
    return _svg(figure)


def histogram(values: np.ndarray) -> str:
    """How often a label got which probability, on a logarithmic scale; (clips,)."""
    figure, axes = _figure(0.8, width=2.6)
    axes.hist(values, BINS, color=BLUE)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlim(0, 1)
    axes.set_yticks([])
    axes.set_xticks([0, 0.5, 1], ["0", "", "1"])
    return _svg(figure)


def weights(members: Sequence[str], shares: Sequence[float]) -> str:
    """What each member counts in the blend."""
    figure, axes = _figure(0.5 + 0.26 * len(members), width=5.0)
    bars = axes.barh(range(len(members)), shares, color=BLUE, height=0.6)
    axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=3)
    axes.set_yticks(range(len(members)), members)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(shares, default=1.0))
    axes.set_xticks([])
    return _svg(figure)


def spectrogram(decibels: np.ndarray, seconds: float) -> str:
    """A spectrogram (bins, frames) as the address of a PNG."""
    with matplotlib.rc_context(STYLE):
        figure = Figure((3.2, 1.25), dpi=100, layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(decibels, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, 1), vmin=-80, vmax=0)
        axes.set_yticks([])
        axes.tick_params(labelsize=7)
        target = io.BytesIO()
        figure.savefig(target, format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(target.getvalue()).decode()


def _figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(STYLE):
        figure = Figure((width, height), layout="constrained")
        return figure, figure.add_subplot()


def _svg(figure: Figure) -> str:
    target = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(target, format="svg", metadata={"Date": None}, transparent=True)
    text = target.getvalue()
    return text[text.index("<svg") :]
