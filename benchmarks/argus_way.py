"""argus's pipeline in the kit against the same computation written the published way: CPU seconds, same answers.

    python benchmarks/argus_way.py [--clips 8] [--folds 2] [--repeats 3] [--precision float32] [--step 64] [--apart]

The published way: all log-mels at once by librosa; then for one fold after the other, for every clip, tiles with their
padding and derivatives made anew and shown at most 16 at a time, never those of two clips together, batch norms as they
were trained. With --apart in its place: the same run of the kit with networks that do not say what their tiles share.
Networks of full size with drawn weights; both programs on one core, in turns, their imports counted.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import tomli_w
import torch
from measuring import ROOT, make_clips, run

from soundpost.ensemble.recipe_folder import NewMember, write_recipe
from soundpost.importers.recipe_files import ImportedMember, template, write_imported
from soundpost.training.recipe_fit import make_network

RECIPE = "argus"
APART = """# argus's network, made by a function of somebody's own.
from soundpost.models.argus import ArgusSettings, AuxSkipAttention

def apart(n_classes, **settings):
    return AuxSkipAttention(ArgusSettings(**settings), n_classes)
"""
TILE = 256  # frames
MOST_TILES = 16  # in a batch
SPREAD = 30.0  # how widely the last layer is drawn, without which all answers lie near one half


def write_weights(folder: Path, folds: int, labels: list[str], step: int, is_apart: bool = False) -> None:
    """A submission of one experiment with drawn networks.

    Args:
        folder: made where it is not there.
        folds: members.
        labels: what they know.
        step: frames from one tile to the next.
        is_apart: whether the networks are somebody's own ones to the kit, of which it knows no stages.
    """
    table = template(RECIPE)
    table["views"][0]["step"] = step
    members = []
    for fold in range(folds):
        torch.manual_seed(fold)
        network = make_network(template(RECIPE), len(labels))
        network.fc[-1].weight.data.mul_(SPREAD)
        members.append(ImportedMember(str(fold), network.state_dict()))
    recipe = folder / RECIPE
    if is_apart:
        table["model"] = {"name": "own", "file": "apart.py", "attribute": "apart", "output": "0"} | {
            "arguments": {"n_classes": len(labels), **{k: v for k, v in table["model"].items() if k != "name"}}
        }
        renamed = [{f"network.{k}": v.numpy() for k, v in member.arrays.items()} for member in members]
        folds_of_own = [NewMember(member.fold, arrays) for member, arrays in zip(members, renamed, strict=True)]
        write_recipe(recipe, RECIPE, table, labels, folds_of_own)
        (recipe / "apart.py").write_text(APART)
    else:
        write_imported(recipe, RECIPE, table, tuple(labels), members)
    blend = {"name": "mean", "folds": "geometric_mean"}
    (folder / "submission.toml").write_text(tomli_w.dumps({"format": 1, "recipes": [RECIPE], "blend": blend}))


def published_way(weights: Path, test_dir: Path, step: int) -> np.ndarray:
    """(clips, classes), the geometric mean of all folds."""
    from soundpost.ensemble.weights_folder import find_assets
    from soundpost.inference.network import build

    assets = find_assets(weights)
    recipe = assets.submission.recipes[0]
    log_mels = [log_mel(path) for path in sorted(test_dir.iterdir())]
    logarithms = []
    for member in recipe.members:
        network = build(recipe, member, assets.arrays(member))
        with torch.no_grad():
            answers = [clip_answer(network, log_mel, step) for log_mel in log_mels]
        logarithms.append(np.log(answers))
    return np.exp(np.mean(logarithms, axis=0))


def log_mel(path: Path) -> np.ndarray:
    """(128, frames) of a file, trimmed, half a second at least."""
    import librosa

    whole, _ = librosa.load(path, sr=44100)
    waveform, _ = librosa.effects.trim(whole)
    if len(waveform) < 22050:
        waveform = whole[: len(waveform) // 2 + 11025]
        missing = 22050 - len(waveform)
        waveform = np.pad(waveform, (missing // 2, missing - missing // 2))
    power = librosa.feature.melspectrogram(
        y=waveform, sr=44100, n_fft=2560, hop_length=690, n_mels=128, fmin=20, fmax=22050, pad_mode="reflect"
    )
    return librosa.power_to_db(power).astype(np.float32)


def clip_answer(network: torch.nn.Module, log_mel: np.ndarray, step: int) -> np.ndarray:
    """(classes), the mean over tiles."""
    import librosa

    frames = log_mel.shape[1]
    count = max(1, -(-(frames - TILE + step) // step))
    missing = step * (count - 1) + TILE - frames
    sides = (missing // 2, missing - missing // 2)
    padded = np.pad(log_mel, ((0, 0), sides), constant_values=log_mel.min())
    answers = []
    for first in range(0, count, MOST_TILES):
        tiles = []
        for start in range(step * first, step * min(count, first + MOST_TILES), step):
            tile = padded[:, start : start + TILE]
            tiles.append(np.stack([tile, librosa.feature.delta(tile), librosa.feature.delta(tile, order=2)]) / 100)
        answers.append(network(torch.from_numpy(np.stack(tiles).astype(np.float32)))[0].sigmoid().numpy())
    return np.concatenate(answers).mean(axis=0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=8.5, help="mean length of a clip")
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--step", type=int, default=128, help="frames from one tile to the next: 128, or 64")
    parser.add_argument("--apart", action="store_true", help="against the kit with networks that share nothing")
    parser.add_argument("--precision", default="auto", help="of the kit: auto, float32 or bfloat16")
    parser.add_argument("--published", nargs=3, metavar=("WEIGHTS", "CLIPS", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.published:
        weights, clips, out = map(Path, options.published)
        np.save(out, published_way(weights, clips, options.step))
        return
    other = "networks that share nothing" if options.apart else "published way"
    ratios: list[float] = []
    print(f"| clips, folds, step | {other}, CPU s | kit, CPU s | ratio | answers differ by |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = make_clips(folder, options.clips, options.seconds)
        labels = sample.read_text().splitlines()[0].split(",")[1:]
        shared, apart = folder / "shared", folder / "apart"
        write_weights(shared, options.folds, labels, options.step)
        write_weights(apart, options.folds, labels, options.step, is_apart=True)
        script = [sys.executable, str(ROOT / "benchmarks/argus_way.py"), "--step", str(options.step)]
        for _ in range(options.repeats):
            theirs, their_answers = (
                kit(apart, sample, options.precision)
                if options.apart
                else published([*script, "--published", str(shared), str(folder / "test"), str(folder / "answers.npy")])
            )
            ours, answers = kit(shared, sample, options.precision)
            ratios.append(theirs / ours)
            row = f"{theirs:.1f} | {ours:.1f} | {ratios[-1]:.2f} | {np.abs(answers - their_answers).max():.1e}"
            print(f"| {options.clips}, {options.folds}, {options.step} | {row} |", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


def kit(weights: Path, sample: Path, precision: str) -> tuple[float, np.ndarray]:
    """CPU seconds of a run of the kit on one core, and its answers (clips, classes)."""
    out = sample.parent / "submission.csv"
    command = [sys.executable, "-m", "soundpost.launch.main", "--assets", str(weights)]
    command += ["--test-dir", str(sample.parent / "test"), "--sample-submission", str(sample), "--out", str(out)]
    ended = run([*command, "--progress", "quiet", "--precision", precision], one_core=True)
    assert ended.status == 0, ended.output
    return ended.cpu_seconds, np.loadtxt(out, delimiter=",", skiprows=1, usecols=range(1, 9))


def published(command: list[str]) -> tuple[float, np.ndarray]:
    """CPU seconds of this file's published way on one core, and its answers (clips, classes)."""
    ended = run(command, one_core=True)
    assert ended.status == 0, ended.output
    return ended.cpu_seconds, np.load(command[-1])


if __name__ == "__main__":
    main()
