"""Arrays of a checkpoint under the names of the network that they belong to; what does not match is shown."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from soundpost.ensemble.pack_format import DTYPES
from soundpost.errors import SettingsError, WeightsError
from soundpost.importers.state_dicts import renamed

COUNTER = "num_batches_tracked"  # which torch did not save before 0.4.1, and which no answer depends on


def read_renames(texts: Sequence[str]) -> dict[str, str]:
    """Beginnings of names -> new ones, from OLD=NEW.

    Raises:
        SettingsError: one without an equals sign or without OLD.
    """
    pairs = {}
    for text in texts:
        old, equals, new = text.partition("=")
        if not old or not equals:
            raise SettingsError(f"--rename '{text}' is not OLD=NEW. Give a beginning of names and what it becomes.")
        pairs[old] = new
    return pairs


def adapted(
    arrays: Mapping[str, Tensor], drop: Sequence[str], strip: Sequence[str], renames: Mapping[str, str], where: str
) -> dict[str, Tensor]:
    """A checkpoint's arrays less those that are not wanted, without prefixes, with other beginnings, in this order.

    Args:
        arrays: by their names in the file.
        drop: patterns of whole names, such as "ema.*" or "*.mel_filter".
        strip: patterns of leading parts that are taken off, such as "model." or "net_*.".
        renames: beginnings of names -> of ours.
        where: the file, for messages.

    Raises:
        SettingsError: a pattern that matches nothing, or names that become the same.
    """
    for pattern in drop:
        if not any(fnmatchcase(name, pattern) for name in arrays):
            raise SettingsError(f"--drop '{pattern}' matches none of {_some(arrays)} in {where}. Correct it.")
    kept = {name: array for name, array in arrays.items() if not any(fnmatchcase(name, p) for p in drop)}
    for pattern in strip:
        bare = {name: _stripped(name, pattern) for name in kept}
        if all(name == new for name, new in bare.items()):
            raise SettingsError(f"--strip '{pattern}' begins none of {_some(kept)} in {where}. Correct it.")
        if len(set(bare.values())) < len(bare):
            raise SettingsError(f"--strip '{pattern}' makes two names of {where} the same. Leave one out with --drop.")
        kept = {bare[name]: array for name, array in kept.items()}
    return renamed(kept, renames)


def matched(arrays: Mapping[str, Tensor], wanted: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """The arrays under the network's names: as they are, or less leading parts that all names of one side share.

    Args:
        arrays: what the file holds, by name.
        wanted: the network's state dict.
        where: the file, for messages.

    Raises:
        WeightsError: names that do not come out the same, or other shapes; with both sides' first ones.
    """
    bare = {_without(name, _shared(wanted)): name for name in wanted}
    counters = {short: torch.zeros_like(wanted[name]) for short, name in bare.items() if name.endswith(COUNTER)}
    begin = _shared(arrays)
    found = arrays
    for depth in range(begin.count(".") + 1):
        prefix = ".".join([*begin.split(".")[:depth], ""]) if depth else ""
        found = {_without(name, prefix): array for name, array in arrays.items()}
        if set(counters | found) == set(bare):
            break
    else:
        missing, strange = sorted(set(wanted) - {*arrays}), sorted(set(arrays) - set(wanted))
        missing = [name for name in missing if not name.endswith(COUNTER)]
        raise WeightsError(
            f"{where}: the network has {', '.join(missing[:3]) or 'nothing'} that the file lacks, the file has "
            f"{', '.join(strange[:3]) or 'nothing'} that the network lacks. Give --rename OLD=NEW for beginnings that "
            "differ, --strip and --drop for what is too much, or correct the network's attributes or [model]."
        )
    result = {name: found[short] if short in found else counters[short] for short, name in bare.items()}
    other = [key for key in wanted if result[key].shape != wanted[key].shape]
    if other:
        raise WeightsError(
            f"{where}: {other[0]} is {tuple(result[other[0]].shape)} in the file and {tuple(wanted[other[0]].shape)} "
            "in the network. Correct [model], or give the labels it was trained with."
        )
    return {name: result[name] for name in wanted}


def refuse_unfit(arrays: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that are no numbers, so that every answer would be none, and kinds that no kernel can carry.

    Raises:
        WeightsError: with the first such array.
    """
    for name, array in arrays.items():
        kind = str(array.dtype).removeprefix("torch.")
        if kind not in DTYPES:
            raise WeightsError(
                f"{where}: {name} is {kind}, which a kernel cannot carry; it can {', '.join(sorted(DTYPES))}. Register "
                "that buffer with persistent=False and compute it in the network."
            )
        wrong = int((~torch.isfinite(array)).sum()) if array.is_floating_point() else 0
        if wrong:
            raise WeightsError(
                f"{where}: {name} holds {wrong:,} of {array.numel():,} values that are not finite. Take the checkpoint "
                "of an earlier epoch."
            )


def _stripped(name: str, pattern: str) -> str:
    depth = pattern.rstrip(".").count(".") + 1
    parts = name.split(".")
    begin = ".".join(parts[:depth])
    return ".".join(parts[depth:]) if len(parts) > depth and fnmatchcase(begin, pattern.rstrip(".")) else name


def _shared(names: Iterable[str]) -> str:
    """The leading parts that all names share, with a dot at the end; never a whole name."""
    parts = [name.split(".")[:-1] for name in names]
    depth = 0
    while parts and all(len(p) > depth for p in parts) and len({p[depth] for p in parts}) == 1:
        depth += 1
    return "".join(f"{part}." for part in parts[0][:depth]) if parts else ""


def _without(name: str, prefix: str) -> str:
    return name.removeprefix(prefix)


def _some(arrays: Mapping[str, Tensor]) -> str:
    names = list(arrays)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
