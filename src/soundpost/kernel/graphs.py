"""Graphs of the members that a kernel has, exported from the very weights that it carries. Never bundled."""

from collections.abc import Mapping, Sequence

from soundpost.ensemble.pack_format import unpack
from soundpost.ensemble.recipes import Recipe
from soundpost.ensemble.weights_folder import Assets
from soundpost.errors import WeightsError
from soundpost.graph_export.onnx_export import export


def exported_graphs(assets: Assets, recipes: Sequence[Recipe], packs: Mapping[str, bytes]) -> dict[str, bytes]:
    """Member -> the bytes of its .onnx file, for every torch member that can be exported; what cannot is printed.

    Args:
        assets: where the members lie.
        recipes: those of the first level.
        packs: member -> its pack, whose quantised weights are what the kernel computes with.
    """
    graphs = {}
    for recipe in recipes:
        if recipe.is_graph:
            continue
        for member in recipe.members:
            packed = packs.get(member.name)
            arrays = assets.arrays(member) if packed is None else unpack(packed, member.name)
            try:
                graphs[member.name] = export(recipe, member, arrays)
            except WeightsError as error:
                print(f"without a graph: {error}")
    return graphs
