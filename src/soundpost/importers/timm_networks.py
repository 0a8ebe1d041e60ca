"""Weights of image networks of timm with the heads of BirdCLEF 2023 to 2026, as public notebooks save them."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from soundpost import registry
from soundpost.ensemble.recipes import Recipe
from soundpost.errors import WeightsError
from soundpost.importers.recipe_files import ImportedMember, template, write_imported
from soundpost.importers.state_dicts import FOLD, read_state_dict, renamed
from soundpost.models import MODELS

TEMPLATES_OF = {
    "birdclef_vs2023": "attention_sed",
    "birdclef_vs2025": "attention_sed",
    "birdclef_theo2024": "classifier",
    "birdclef_theo2024_gem": "gem_classifier",
    "birdclef_cpmp2024": "classifier",
    "birdclef_fg2026_128": "frame_attention",
    "birdclef_fg2026_224": "frame_attention",
    "birdclef_fg2026_20s": "frame_attention",
    "birdclef_fg2026_sed": "bottleneck_attention",
    "birdclef_silver2026_sed": "bottleneck_attention",
    "birdclef_silver2026_hgnet": "log_sum_exp",
}
# Beginnings of published names -> of ours, by head; what stands at the top there stands under "head" here.
RENAMED: dict[str, dict[str, str]] = {
    "classifier": {"encoder.": "backbone."},
    "gem_classifier": {"encoder.": "backbone.", "logits.": "head.logits."},
    "attention_sed": {},
    "frame_attention": {name: f"head.{name}" for name in ("gem_pool.", "fc.", "att_fc.", "bn.")},
    "bottleneck_attention": {name: f"head.{name}" for name in ("gem_freq.", "dense.", "att.", "cla.")},
    "log_sum_exp": {},
}
NOT_WEIGHTS = ("logmelspec_extractor.", "selected_indices", "ft_extractor.", "mel.", "A2DB.", "distill_head.")
WRAPPERS = ("model.", "net.", "_orig_mod.", "ema.", "module.")  # what training loops put before all names


def published_arrays(arrays: Mapping[str, Tensor], head: str) -> dict[str, Tensor]:
    """The arrays of a published checkpoint under our names, without what is no weight."""
    found = dict(arrays)
    for wrapper in WRAPPERS * 2:
        if all(name.startswith(wrapper) for name in found):
            found = {name.removeprefix(wrapper): array for name, array in found.items()}
    weights = {name: array for name, array in found.items() if not name.startswith(NOT_WEIGHTS)}
    return renamed(weights, RENAMED[head])


def import_timm(
    published: str, source: Path, folder: Path, name: str, labels: tuple[str, ...], timm: str = ""
) -> Recipe:
    """Checkpoints of one network as a recipe, one file for each fold.

    Args:
        published: a template of TEMPLATES_OF.
        source: a checkpoint, or a folder of .pt, .pth, .bin and .ckpt files.
        folder: where recipe.toml and the fold files go.
        name: what the recipe is called.
        labels: in the order of the network's outputs.
        timm: name of the body in timm; "" is the template's.

    Raises:
        WeightsError: no checkpoint there, or arrays that are not the network's.
        SettingsError: timm is not installed, or does not know the body.
    """
    table = template(published)
    if timm:
        table["model"]["timm"] = timm
    network = registry.build(MODELS, "timm", table["model"], "model", len(labels), where=f"{name} [model]")
    wanted = network.state_dict()
    endings = (".pt", ".pth", ".bin", ".ckpt")
    files = [source] if source.is_file() else sorted(f for f in source.glob("*") if f.suffix in endings)
    if not files:
        raise WeightsError(f"{source}: no {', '.join(endings)} file. Give a checkpoint or a folder of them.")
    members = []
    for index, path in enumerate(files):
        arrays = published_arrays(read_state_dict(path), TEMPLATES_OF[published])
        shaped = {
            key: array.reshape(wanted[key].shape)
            if key in wanted and array.numel() == wanted[key].numel() == 1
            else array
            for key, array in arrays.items()
        }
        fold = FOLD.search(path.stem)
        members.append(ImportedMember(fold.group(1) if fold else str(index), shaped))
    return write_imported(folder, name, table, labels, members)


IMPORTERS = {name: partial(import_timm, name) for name in TEMPLATES_OF}
