"""argus's pipeline in the kit against the same computation written the published way: CPU seconds, same answers.

    python benchmarks/argus_way.py [--clips 8] [--folds 2] [--repeats 3] [--precision float32]

The published way: all log-mels at once by librosa; then for one fold after the other, for every clip, tiles with their
padding and derivatives made anew and shown at most 16 at a time, never those of two clips together, batch norms as they
were trained. Networks of full size with drawn weights; both programs on one core, their imports counted.
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

from soundpost.importers.recipe_files import ImportedMember, template, write_imported
from soundpost.training.recipe_fit import make_network

RECIPE = "argus"
MOST_TILES = 16  # in a batch
SPREAD = 30.0  # how widely the last layer is drawn, without which all answers lie near one half


def write_weights(folder: Path, folds: int, labels: list[str]) -> None:
    """A submission of one experiment with drawn networks."""
    members = []
    for fold in range(folds):
        torch.manual_seed(fold)
        network = make_network(template(RECIPE), len(labels))
        network.fc[-1].weight.data.mul_(SPREAD)
        members.append(ImportedMember(str(fold), network.state_dict()))
    write_imported(folder / RECIPE, RECIPE, template(RECIPE), tuple(labels), members)
    blend = {"name": "mean", "folds": "geometric_mean"}
    (folder / "submission.toml").write_text(tomli_w.dumps({"format": 1, "recipes": [RECIPE], "blend": blend}))


def published_way(weights: Path, test_dir: Path) -> np.ndarray:
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
            answers = [clip_answer(network, log_mel) for log_mel in log_mels]
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


def clip_answer(network: torch.nn.Module, log_mel: np.ndarray) -> np.ndarray:
    """(classes), the mean over tiles."""
    import librosa

    frames = log_mel.shape[1]
    count = max(1, -(-(frames - 128) // 128))
    missing = 128 * count + 128 - frames
    sides = (missing // 2, missing - missing // 2)
    padded = np.pad(log_mel, ((0, 0), sides), constant_values=log_mel.min())
    answers = []
    for first in range(0, count, MOST_TILES):
        tiles = []
        for start in range(128 * first, 128 * min(count, first + MOST_TILES), 128):
            tile = padded[:, start : start + 256]
            tiles.append(np.stack([tile, librosa.feature.delta(tile), librosa.feature.delta(tile, order=2)]) / 100)
        answers.append(network(torch.from_numpy(np.stack(tiles).astype(np.float32)))[0].sigmoid().numpy())
    return np.concatenate(answers).mean(axis=0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--folds", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", default="auto", help="of the kit: auto, float32 or bfloat16")
    parser.add_argument("--published", nargs=3, metavar=("WEIGHTS", "CLIPS", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.published:
        weights, clips, out = map(Path, arguments.published)
        np.save(out, published_way(weights, clips))
        return
    ratios: list[float] = []
    print("| clips, folds | published way, CPU s | kit, CPU s | ratio | answers differ by |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = make_clips(folder, arguments.clips, 8.5)
        write_weights(folder, arguments.folds, sample.read_text().splitlines()[0].split(",")[1:])
        out, answers = folder / "submission.csv", folder / "answers.npy"
        kit = [sys.executable, "-m", "soundpost.launch.main", "--assets", name, "--test-dir", str(folder / "test")]
        kit += ["--sample-submission", str(sample), "--out", str(out), "--progress", "quiet"]
        kit += ["--precision", arguments.precision]
        script = str(ROOT / "benchmarks/argus_way.py")
        published = [sys.executable, script, "--published", name, str(folder / "test"), str(answers)]
        for _ in range(arguments.repeats):
            ours, theirs = run(kit, one_core=True), run(published, one_core=True)
            assert (ours.status, theirs.status) == (0, 0), ours.output + theirs.output
            ratios.append(theirs.cpu_seconds / ours.cpu_seconds)
            change = np.abs(np.loadtxt(out, delimiter=",", skiprows=1, usecols=range(1, 9)) - np.load(answers))
            row = f"{theirs.cpu_seconds:.1f} | {ours.cpu_seconds:.1f} | {ratios[-1]:.2f} | {change.max():.1e}"
            print(f"| {arguments.clips}, {arguments.folds} | {row} |", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
