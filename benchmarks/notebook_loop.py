"""The kernel against the loop that notebooks use, with the same weights and the same answers.

    python benchmarks/notebook_loop.py [--clips 200] [--repeats 3]

The loop, as it is usually written: for one fold after the other, for every clip, librosa decodes and computes the
log-mel; clips go through the network in file order. In "padded" they go in batches of 32, padded to the longest, which
changes answers; in "one by one" each goes alone, which does not. Both programs' imports are counted.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
from measuring import ROOT, make_clips, run

BATCH = 32


def loop(test_dir: Path, padded: bool) -> dict[str, list[float]]:
    """The mean of all folds' probabilities by the first view, for each clip."""
    import librosa
    import torch

    from soundpost.ensemble.weights_folder import default_root, find_assets
    from soundpost.inference.network import build

    assets = find_assets(default_root())
    recipe = assets.submission.recipes[0]
    mel = recipe.front_end.settings
    paths = sorted(test_dir.iterdir())
    answers = np.zeros((len(paths), len(recipe.labels)))
    for member in recipe.members:
        model = build(recipe, member, assets.arrays(member))
        size = BATCH if padded else 1
        for first in range(0, len(paths), size):
            log_mels = []
            for path in paths[first : first + size]:
                waveform, _ = librosa.load(path, sr=mel["sample_rate"])
                power = librosa.feature.melspectrogram(
                    y=waveform,
                    sr=mel["sample_rate"],
                    n_fft=mel["n_fft"],
                    hop_length=mel["hop_length"],
                    n_mels=mel["n_mels"],
                    fmin=mel["fmin"],
                    fmax=mel["fmax"],
                    pad_mode=mel.get("pad_mode", "reflect"),
                )
                log_mels.append(librosa.power_to_db(power, top_db=mel.get("top_db", 80.0) or None))
            longest = max(picture.shape[1] for picture in log_mels)
            batch = np.stack([np.pad(p, ((0, 0), (0, longest - p.shape[1])), constant_values=-100) for p in log_mels])
            with torch.no_grad():
                logits = model(torch.from_numpy(batch.astype(np.float32))[:, None])
            answers[first : first + size] += torch.sigmoid(logits).numpy() / len(recipe.members)
    return {path.name: row.tolist() for path, row in zip(paths, answers, strict=True)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--loop", nargs=3, metavar=("FOLDER", "KIND", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.loop:
        folder, kind, out = arguments.loop
        Path(out).write_text(json.dumps(loop(Path(folder), kind == "padded")))
        return
    ratios: dict[str, list[tuple[float, float]]] = {"padded": [], "one by one": []}
    change: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = make_clips(folder, arguments.clips, 8.5)
        out, answers = folder / "submission.csv", folder / "answers.json"
        kernel = [sys.executable, "kernel.py", "--test-dir", str(folder / "test"), "--sample-submission", str(sample)]
        for _ in range(arguments.repeats):
            ours = run([*kernel, "--out", str(out), "--progress", "quiet", "--views", "1"])
            rows = [line.split(",") for line in out.read_text().splitlines()]
            for kind, found in ratios.items():
                script = str(ROOT / "benchmarks/notebook_loop.py")
                theirs = run([sys.executable, script, "--loop", str(folder / "test"), kind, str(answers)])
                assert theirs.status == 0, theirs.output
                found.append((theirs.cpu_seconds / ours.cpu_seconds, theirs.wall_seconds / ours.wall_seconds))
                change[kind] = _difference(rows, json.loads(answers.read_text()))
    print("| loop | CPU seconds, times the kernel's | wall seconds | largest difference of an answer |")
    print("|---|---|---|---|")
    for kind, found in ratios.items():
        cpu, wall = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"| {kind} | {cpu:.1f} | {wall:.1f} | {change[kind]:.1e} |")


def _difference(rows: list[list[str]], theirs: dict[str, list[float]]) -> float:
    from soundpost.ensemble.columns import map_columns
    from soundpost.ensemble.weights_folder import default_root, find_assets

    recipe = find_assets(default_root()).submission.recipes[0]
    known = map_columns(recipe, rows[0][1:])
    ours = {row[0]: np.array(row[1:], float)[list(known.columns)] for row in rows[1:]}
    return max(float(np.abs(ours[name] - np.array(row)[list(known.classes)]).max()) for name, row in theirs.items())


if __name__ == "__main__":
    main()
