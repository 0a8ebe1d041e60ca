"""Whole run against the bare work: decode + features + forward passes of the same batches, in CPU seconds.

    python benchmarks/overhead.py [--clips 600] [--seconds 8.5] [--repeats 3]

Both are measured in turns in one run. The bare work is one process and one thread: every clip decoded and its
spectrogram computed once, then groups of equally long clips, as large as the kit's batches, each through all members.
Both are kept to one core, because two cores that share caches and memory make each other's seconds longer. Both are in
float32, and the bare work has the engine's settings of the memory allocator. Imports are in the whole run alone.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from measuring import ROOT, make_clips, run

from soundpost.resources.engine_environment import ENGINE_ENVIRONMENT


def bare(test_dir: Path) -> dict[str, float]:
    """CPU seconds of decode, features and forward passes alone."""
    import torch

    from soundpost.audio.decode import AudioSettings, decode
    from soundpost.ensemble.weights_folder import default_root, find_assets
    from soundpost.front_ends import FRONT_ENDS
    from soundpost.inference.predictor import Predictor
    from soundpost.inference.profiling import probe
    from soundpost.registry import pick, settings_from
    from soundpost.resources.memory_budget import LANE_BYTES
    from soundpost.views import VIEWS
    from soundpost.views.batch import stack

    torch.set_num_threads(1)
    assets = find_assets(default_root())
    recipe = assets.submission.recipes[0]
    audio = settings_from(AudioSettings, recipe.audio, "[audio]")
    front_end_class = pick(FRONT_ENDS, recipe.front_end.name, "front end")
    front_end = front_end_class(settings_from(front_end_class.Settings, recipe.front_end.settings, "[front_end]"))
    views = []
    for named in recipe.views:
        view_class = pick(VIEWS, named.name, "view")
        views.append(view_class(settings_from(view_class.Settings, named.settings, "[[views]]")))
    seconds = {}
    started = time.process_time()
    waveforms = [decode(path, audio).waveform for path in sorted(test_dir.iterdir())]
    seconds["decode"] = time.process_time() - started
    started = time.process_time()
    with torch.inference_mode():
        spectrograms = [front_end(torch.from_numpy(waveform)[None])[0].numpy() for waveform in waveforms]
    seconds["features"] = time.process_time() - started
    predictors = [Predictor(recipe, m, assets.arrays(m), "cpu", "float32") for m in recipe.members]
    seconds["forward"] = 0.0
    for view in views:
        groups = defaultdict(list)
        for spectrogram in spectrograms:
            for window in view.windows(spectrogram.shape[2]):
                groups[window.frames].append((spectrogram, window))
        probed = probe(predictors[0], view, front_end.shape(10 * audio.sample_rate))
        most = LANE_BYTES / probed.bytes_per_frame
        batches = []
        for frames, group in groups.items():
            size = max(1, int(most / frames))
            parts = (group[i : i + size] for i in range(0, len(group), size))
            batches += [stack([s for s, _ in part], [w for _, w in part], view) for part in parts]
        for batch in batches:
            for predictor in predictors:
                started = time.process_time()
                predictor(batch, view)
                seconds["forward"] += time.process_time() - started
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=8.5, help="mean length of a clip")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        print(json.dumps(bare(arguments.bare)))
        return
    ratios, walls = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = make_clips(folder, arguments.clips, arguments.seconds)
        kernel = [sys.executable, "kernel.py", "--test-dir", str(folder / "test"), "--sample-submission", str(sample)]
        quiet = ["--progress", "quiet", "--precision", "float32"]
        for _ in range(arguments.repeats):
            whole = run([*kernel, "--out", str(folder / "submission.csv"), *quiet], one_core=True, memory=False)
            alone = run(
                [sys.executable, str(ROOT / "benchmarks/overhead.py"), "--bare", str(folder / "test")],
                one_core=True,
                environment=ENGINE_ENVIRONMENT,
                memory=False,
            )
            parts = json.loads(alone.output.splitlines()[-1])
            work = sum(parts.values())
            ratios.append(whole.cpu_seconds / work)
            walls.append(whole.wall_seconds)
            print(
                f"whole run {whole.cpu_seconds:.1f} CPU s ({whole.wall_seconds:.1f} s wall); bare "
                f"{', '.join(f'{stage} {s:.1f}' for stage, s in parts.items())}: {work:.1f}; ratio {ratios[-1]:.2f}"
            )
    print(
        f"\n| clips | mean s | CPU s, whole run over bare work |\n|---|---|---|\n"
        f"| {arguments.clips} | {arguments.seconds} | {statistics.median(ratios):.2f} (median of {len(ratios)}) |"
    )


if __name__ == "__main__":
    main()
