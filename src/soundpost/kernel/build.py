"""A submission, its recipes and weights, and the modules that they need -> one kernel. Never bundled.

In the kernel the recipes name, for each member, its pack and the sha256 of that, or the size and sha256 of a file that
comes by a dataset; all else is as in weights/.
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tomli_w

from soundpost.ensemble.blend import without
from soundpost.ensemble.recipes import ONNX, Member, Recipe, Wheel, parse_submission
from soundpost.ensemble.weights_folder import RECIPE, SUBMISSION, Assets, find_assets
from soundpost.errors import BundleError
from soundpost.kernel.bit_allocation import pack_members
from soundpost.kernel.dependencies import ENTRIES, collect, registered
from soundpost.kernel.own_source import files_of, needs
from soundpost.kernel.pack import Arrays, pack
from soundpost.kernel.placement import OVERHEAD_BYTES, Apart, travel_apart
from soundpost.kernel.render import LIMIT_BYTES, Kernel, write
from soundpost.kernel.source_block import armoured, compressed
from soundpost.kernel.wheels import Downloaded
from soundpost.settings import TIME_LIMIT, parse_seconds

PACKS_BYTES = 520_000  # for all packs together whose bit widths are not written down; 650,000 bytes of text
PACKING = "packing.toml"  # beside recipe.toml: [bits], tensor -> bit width, as soundpost.kernel.calibrate wrote it


def build(
    source: Path,
    submission: Path,
    members: Sequence[str] = (),
    command: str = "python build_kernel.py",
    apart: Sequence[str] | None = None,
    dataset: str = "",
    time_limit: str = TIME_LIMIT,
    wheels: Sequence[Downloaded] = (),
) -> Kernel:
    """The kernel of one submission.

    Args:
        source: the folder that holds the package soundpost.
        submission: a submission.toml; the recipes lie in folders beside it.
        members: names recipe/fold to carry; empty: all.
        command: what line one names.
        apart: names of members that travel by a dataset; None: those for which there is no room.
        dataset: owner/slug of that dataset, for the kernel's messages.
        time_limit: what the kernel's settings say of a run's length, such as "85m".
        wheels: runtimes that go into the dataset; with them go the graphs of all members that torch computes.

    Raises:
        BundleError: a module that a kernel may not use, a member that is not there, bit widths of another network.
        KitError: whatever makes the submission or its weights unusable.
    """
    assets = _only(find_assets(submission.parent, submission.name), members)
    recipes = (*assets.submission.recipes, *assets.submission.second_level)
    parse_seconds(time_limit, "time-limit")
    own = {path: text for recipe in recipes for path, text in files_of(recipe, assets.root).items()}
    modules = collect(source, [*ENTRIES, *_registered(source, assets, bool(wheels)), *_asked_by(assets)]) | own
    room = LIMIT_BYTES - OVERHEAD_BYTES - len(armoured(compressed(modules)))
    sent = travel_apart(assets, (*assets.submission.second_level, *assets.submission.recipes), apart, room)
    packs = _packs(assets, _without(recipes, [file.member.name for file in sent]))
    graphs = _graphs(assets, packs) if wheels else {}
    attached = dataset if sent or wheels else ""
    texts = {f"weights/{SUBMISSION}": _submission_text(submission, assets, attached, [w.wheel for w in wheels])}
    texts |= {f"weights/{r.name}/{RECIPE}": _recipe_text(assets, r, packs, sent, graphs) for r in recipes}
    parse_submission(
        texts[f"weights/{SUBMISSION}"], {r.name: texts[f"weights/{r.name}/{RECIPE}"] for r in recipes}, str(submission)
    )
    carried = [member for recipe in recipes for member in recipe.members if member.name in packs]
    members_packs = {m.name: (f"weights/{m.recipe}/{_pack_name(m)}", packs[m.name]) for m in carried}
    loader = (source / "soundpost" / "launch" / "loader.py").read_text("utf-8")
    settings = {"time-limit": time_limit}
    beside: dict[str, bytes | Path] = {_graph_name(name): graph for name, graph in graphs.items()}
    beside |= {file.wheel.file: file.path for file in wheels}
    return replace(write(loader, modules, texts, members_packs, command, settings), apart=sent, beside=beside)


def _only(assets: Assets, names: Sequence[str]) -> Assets:
    """The same assets with no members but those named, and no recipes without members."""
    submission = assets.submission
    known = [m.name for r in (*submission.recipes, *submission.second_level) for m in r.members]
    absent = [name for name in names if name not in known]
    if absent:
        raise BundleError(f"no members {', '.join(absent)}; known: {', '.join(known)}. Correct --members.")
    if not names:
        return assets

    def kept(recipes: tuple[Recipe, ...]) -> tuple[Recipe, ...]:
        cut = (replace(r, members=tuple(m for m in r.members if m.name in names)) for r in recipes)
        return tuple(r for r in cut if r.members)

    everything = {*known, *(name.split("/")[0] for name in known)}
    removed = everything - {*names, *(name.split("/")[0] for name in names)}
    return replace(
        assets,
        submission=replace(
            submission,
            recipes=kept(submission.recipes),
            second_level=kept(submission.second_level),
            blend=without(submission.blend, removed),
        ),
    )


def _without(recipes: Sequence[Recipe], names: Sequence[str]) -> tuple[Recipe, ...]:
    """The same recipes less these members, and less those that have no other."""
    cut = (replace(r, members=tuple(m for m in r.members if m.name not in names)) for r in recipes)
    return tuple(r for r in cut if r.members)


def _registered(source: Path, assets: Assets, has_runtimes: bool) -> list[str]:
    """Modules that are reached by name only."""
    first, second = assets.submission.recipes, assets.submission.second_level
    models = {r.model.name for r in (*first, *second)}
    runtimes = registered(source, "inference.backends", None) if ONNX in models or has_runtimes else []
    steps = sorted({str(step.get("name")) for step in assets.submission.after})
    return [
        *runtimes,
        *registered(source, "models", sorted(models - {ONNX})),
        *registered(source, "front_ends", sorted({r.front_end.name for r in first})),
        *registered(source, "views", sorted({view.name for r in first for view in r.views})),
        *(registered(source, "after", steps) if steps else ()),
    ]


def _asked_by(assets: Assets) -> list[str]:
    """Modules of the kit that networks in files of their own import; what else these import is checked again."""
    return [
        module
        for recipe in assets.submission.recipes
        for path in files_of(recipe, assets.root)
        for module in needs(
            assets.root / recipe.name,
            path.removeprefix(f"weights/{recipe.name}/"),
            recipe.model.settings.get("packages", ()),
        ).modules
    ]


def _graphs(assets: Assets, packs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Member -> graph; the exporter, with torch and onnx, is imported by builds that need it alone."""
    from soundpost.kernel.graphs import exported_graphs

    return exported_graphs(assets, assets.submission.recipes, packs)


def _packs(assets: Assets, recipes: Sequence[Recipe]) -> dict[str, bytes]:
    """Member -> pack: with the bit widths of packing.toml, else with widths chosen for the bytes that are left."""
    packs: dict[str, bytes] = {}
    unmeasured = []
    for recipe in recipes:
        if recipe.is_graph:
            packs |= {member.name: pack(assets.arrays(member), {}) for member in recipe.members}
            continue
        path = assets.root / recipe.name / PACKING
        if not path.is_file():
            unmeasured.append(recipe)
            continue
        bits = tomllib.loads(path.read_text("utf-8"))["bits"]
        for member in recipe.members:
            arrays = assets.arrays(member)
            absent = sorted(set(bits) - set(arrays))
            if absent:
                raise BundleError(
                    f"{path} has bit widths for {', '.join(absent[:3])}, which {member.name} lacks. Measure them again "
                    f"with python -m soundpost.kernel.calibrate {recipe.name}, or delete the file."
                )
            packs[member.name] = pack(arrays, bits)
    left = PACKS_BYTES - sum(map(len, packs.values()))
    for i, recipe in enumerate(unmeasured):
        together: dict[str, Arrays] = {member.name: assets.arrays(member) for member in recipe.members}
        chosen = pack_members(together, None, left // (len(unmeasured) - i)).packs
        packs |= chosen
        left -= sum(map(len, chosen.values()))
    return packs


def _submission_text(submission: Path, assets: Assets, dataset: str, wheels: Sequence[Wheel]) -> str:
    table = tomllib.loads(submission.read_text("utf-8"))
    if wheels:
        table["wheels"] = [
            {"package": w.package, "python": w.python, "file": w.file, "sha256": w.sha256, "bytes": w.n_bytes}
            for w in wheels
        ]
    if dataset:
        table["dataset"] = dataset
    left = assets.submission
    for key, recipes in (("recipes", left.recipes), ("second_level", left.second_level)):
        if key in table:
            table[key] = [recipe.name for recipe in recipes]
    if isinstance(table.get("blend"), dict):
        table["blend"] = {"name": left.blend.name, **left.blend.settings}
    return tomli_w.dumps(table)


def _recipe_text(
    assets: Assets,
    recipe: Recipe,
    packs: Mapping[str, bytes],
    sent: Sequence[Apart],
    graphs: Mapping[str, bytes],
) -> str:
    files = {file.member.name: {"file": file.file, "bytes": file.n_bytes} for file in sent}
    table = tomllib.loads((assets.root / recipe.name / RECIPE).read_text("utf-8"))
    members = {member.fold: member for member in recipe.members}
    table["members"] = [
        {**_bare(entry), **(files.get(member.name) or _packed(member, packs[member.name])), **_exported(member, graphs)}
        for entry in table["members"]
        if (member := members.get(str(entry["fold"])))
    ]
    return tomli_w.dumps(table)


def _bare(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A member's entry without the graph that lies in the weights folder, which no kernel carries."""
    return {key: value for key, value in entry.items() if key != "exported"}


def _exported(member: Member, graphs: Mapping[str, bytes]) -> dict[str, Any]:
    graph = graphs.get(member.name)
    if graph is None:
        return {}
    digest = hashlib.sha256(graph).hexdigest()
    return {"exported": {"file": _graph_name(member.name), "sha256": digest, "bytes": len(graph)}}


def _graph_name(member: str) -> str:
    return f"{member.replace('/', '-')}.onnx"


def _packed(member: Member, data: bytes) -> dict[str, str]:
    return {"file": _pack_name(member), "sha256": hashlib.sha256(data).hexdigest()}


def _pack_name(member: Member) -> str:
    return Path(member.file).with_suffix(".pack").as_posix()
