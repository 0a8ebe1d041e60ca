"""ONNX files as members: what is read from them, what is refused by name, and that damage never passes or crashes."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import LABELS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx_graphs import WEIGHTS, graph_bytes, tagger, tagger_logits

from soundpost.ensemble.weights_file import load_arrays
from soundpost.errors import KitError, SettingsError, WeightsError
from soundpost.importers.__main__ import main
from soundpost.importers.onnx_member import add_onnx, read_aliases
from soundpost.inference.in_memory import answer

TABLE: dict[str, Any] = {
    "audio": {"sample_rate": 16000},
    "front_end": {"name": "log_mel", "sample_rate": 16000, "n_fft": 512, "hop_length": 256, "n_mels": 16},
    "views": [{"name": "whole"}],
}


def add(graph: bytes, folder: Path, table: dict[str, Any] | None = None, labels: tuple[str, ...] = LABELS) -> Any:
    """One file as a recipe of one fold."""
    (folder / "network.onnx").write_bytes(graph)
    return add_onnx([folder / "network.onnx"], folder / "weights", "theirs", table or TABLE, labels)


def test_command_adds_two_folds_best_first_and_names_the_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """python -m soundpost.importers add --onnx: files, settings, labels, scores and a table of names."""
    (tmp_path / "a.onnx").write_bytes(tagger())
    (tmp_path / "b.onnx").write_bytes(tagger(2.0))
    (tmp_path / "mine.toml").write_text(
        '[audio]\nsample_rate = 16000\n[front_end]\nname = "log_mel"\nsample_rate = 16000\nn_fft = 512\n'
        "hop_length = 256\nn_mels = 16\n"
    )
    (tmp_path / "labels.txt").write_text("Canis lupus\nRain\nSiren\nTick\n")
    (tmp_path / "names.csv").write_text("scientific,column\nCanis lupus,Bark\nFelis catus,Meow\nTick,Tick-tock\n")
    words = ["add", "--onnx", str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx"), "--recipe", "mine"]
    words += [
        "--settings",
        str(tmp_path / "mine.toml"),
        "--labels",
        str(tmp_path / "labels.txt"),
        "--score",
        "0.7",
        "0.8",
    ]
    words += ["--aliases", str(tmp_path / "names.csv"), "--alias-columns", "scientific", "column"]

    status = main([*words, "--weights", str(tmp_path / "weights"), "--only"])

    assert status == 0, capsys.readouterr().err
    table = tomllib.loads((tmp_path / "weights/mine/recipe.toml").read_text())
    assert [member["file"] for member in table["members"]] == ["fold1.onnx", "fold0.onnx"]
    assert table["aliases"] == {"Canis lupus": "Bark", "Tick": "Tick-tock"}
    assert table["model"] == {
        "name": "onnx",
        "input": "windows",
        "output": "logits",
        "axes": ["batch", "channels", "bins", "frames"],
        "class_axis": 1,
    }
    assert tomllib.loads((tmp_path / "weights/submission.toml").read_text())["recipes"] == ["mine"]


def test_member_answers_as_numpy_does(tmp_path: Path) -> None:
    """Through recipe folder, file and runtime nothing is lost."""
    recipe = add(tagger(0.05), tmp_path)
    (member,) = recipe.members
    arrays = load_arrays(tmp_path / "weights/theirs" / member.file, member.sha256, member.name)
    clips = [np.random.default_rng(k).normal(0, 1, (1, 16, 30 + k)).astype(np.float32) for k in range(3)]

    ours = answer(recipe, member, arrays, clips, n_views=1)

    by_hand = np.concatenate([1 / (1 + np.exp(-tagger_logits(clip[None], 0.05))) for clip in clips])
    np.testing.assert_allclose(ours, by_hand, rtol=0, atol=1e-6)


def test_external_data_is_refused_by_name(tmp_path: Path) -> None:
    """Weights that lie in another file would be read from wherever the graph says."""
    model = onnx.load_model_from_string(tagger())
    onnx.save(model, tmp_path / "outside.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)

    with pytest.raises(WeightsError, match=r"1 tensors are external data \(weights in weights.bin\). Write one file"):
        add((tmp_path / "outside.onnx").read_bytes(), tmp_path)


def test_external_data_inside_a_sub_graph_is_found(tmp_path: Path) -> None:
    """A branch of an If cannot hide it."""
    model = onnx.load_model_from_string(tagger())
    tensor = onnx.TensorProto(name="hidden", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    branch = helper.make_graph([], "branch", [], [], [tensor])
    node = helper.make_node("If", ["condition"], ["never"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)

    with pytest.raises(WeightsError, match=r"external data \(hidden in ../../etc/passwd"):
        add(model.SerializeToString(), tmp_path)


@pytest.mark.parametrize(("domain", "kind"), [("com.microsoft", "Gelu"), ("", "NoSuchOperator"), ("my.own", "Secret")])
def test_custom_operator_is_refused_by_name(tmp_path: Path, domain: str, kind: str) -> None:
    """What the standard does not have is not run, and whether one runtime has it does not matter."""
    nodes = [
        helper.make_node("ReduceMean", ["windows"], ["means"], axes=[1, 3], keepdims=0),
        helper.make_node(kind, ["means"], ["odd"], domain=domain),
        helper.make_node("MatMul", ["odd", "weights"], ["logits"]),
    ]
    shape = ("batch", 1, 16, "frames")
    graph = graph_bytes(
        nodes, {"windows": shape}, {"logits": ("batch", 4)}, {"weights": WEIGHTS.T.copy()}, ["", domain]
    )

    with pytest.raises(WeightsError, match=rf"custom operators {f'{domain}.{kind}'.lstrip('.')}"):
        add(graph, tmp_path)


def test_input_that_does_not_take_the_recipe_s_windows_is_refused_with_both_shapes(tmp_path: Path) -> None:
    """Bins of the file against bins of the front end."""
    table = {**TABLE, "front_end": {**TABLE["front_end"], "n_mels": 20}}

    with pytest.raises(WeightsError, match=r"\(batch, 1, 16, frames\) does not take .*= \(2, 1, 20, 63\)"):
        add(tagger(), tmp_path, table)


def test_labels_of_another_number_are_refused_with_the_answer_s_shape(tmp_path: Path) -> None:
    """Four classes are not three."""
    with pytest.raises(WeightsError, match=r"output logits answers \(2, 4\) for 2 windows, and there are 3 labels"):
        add(tagger(), tmp_path, labels=("a", "b", "c"))


def test_folds_of_different_networks_are_refused(tmp_path: Path) -> None:
    """A recipe says once how windows go in."""
    (tmp_path / "a.onnx").write_bytes(tagger())
    other = onnx.load_model_from_string(tagger())
    other.graph.output[0].name = other.graph.node[-1].output[0] = "scores"
    (tmp_path / "b.onnx").write_bytes(other.SerializeToString())

    with pytest.raises(WeightsError, match=r"b.onnx: goes in or comes out otherwise than .*a.onnx"):
        add_onnx([tmp_path / "a.onnx", tmp_path / "b.onnx"], tmp_path / "weights", "theirs", TABLE, LABELS)


def test_graph_that_mixes_the_windows_of_a_batch_is_shown_one_by_one(tmp_path: Path) -> None:
    """A mean over the batch would make a clip's answer depend on its mates; alone it is the clip's own."""
    nodes = [
        helper.make_node("ReduceMean", ["windows"], ["centre"], axes=[0, 1, 2, 3], keepdims=1),
        helper.make_node("Sub", ["windows", "centre"], ["moved"]),
        helper.make_node("Mul", ["moved", "moved"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["means"], axes=[1, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
    ]
    shape = ("batch", 1, 16, "frames")
    graph = graph_bytes(nodes, {"windows": shape}, {"logits": ("batch", 4)}, {"weights": WEIGHTS.T.copy()})

    assert add(graph, tmp_path).model.settings["one_by_one"] is True


def test_aliases_of_another_table_are_refused_with_its_columns(tmp_path: Path) -> None:
    """Both the asked and the known columns are named."""
    (tmp_path / "names.csv").write_text("scientific_name,primary_label\nCanis lupus,dog1\n")

    with pytest.raises(SettingsError, match=r"columns label, column asked for; it has scientific_name, primary_label"):
        read_aliases(tmp_path / "names.csv", ("label", "column"))
    assert read_aliases(tmp_path / "names.csv", ("scientific_name", "primary_label")) == {"Canis lupus": "dog1"}


def test_file_that_is_cut_anywhere_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """Every beginning of a file is refused, and says what to do."""
    graph = tagger()

    for length in range(0, len(graph) - 1, 7):
        with pytest.raises(WeightsError, match=r"(?s)network.onnx: .*(again|Export)"):
            add(graph[:length], tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_file_that_was_fuzzed_is_refused_by_name_or_is_a_member(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    """Any bytes changed: a KitError that names the file, or a network that answers; nothing else, and no crash."""
    graph = bytearray(tagger())
    for place, value in changes:
        graph[place % len(graph)] = value

    said, recipe = "", None
    try:
        recipe = add(bytes(graph), tmp_path)
    except KitError as error:
        said = str(error)

    assert (recipe is None) == ("network.onnx" in said), said
    assert recipe is not None or said.rstrip().endswith((".", "]")), f"it does not say what to do: {said}"
