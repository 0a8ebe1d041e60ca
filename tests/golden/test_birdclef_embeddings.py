"""birdclef: heads on the embeddings of a waveform network, and how its classes become a contest's columns."""

from typing import Any

import numpy as np
import pytest
import torch
from birdclef_inputs import made
from cases import GoldenSet, assert_close, golden
from test_birdclef_networks import filled

from soundpost.importers.species import Species, map_species
from soundpost.models.embedding_heads import PrototypeStateSpace, ResidualStateSpace, StateSpaceSettings


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "embedding_head"))
def test_embedding_head_of_birdclef_gives_the_published_outputs(place: GoldenSet, case: dict[str, Any]) -> None:
    """Logits of the prototypes, plain and over rolled and reversed sequences, and the residual's correction."""
    config, source = case["config"], case["input"]
    inputs = {key: torch.from_numpy(made(entry, place)) for key, entry in source.items() if isinstance(entry, dict)}
    settings = StateSpaceSettings(
        d_input=config["d_input"] + config.get("d_scores", 0),
        windows=inputs["embeddings"].shape[1],
        heads=config.get("cross_attn_heads", 1),
        **{key: config[key] for key in ("d_model", "d_state", "d_conv", "n_sites", "meta_dim")},
        **({"layers": config["layers"]} if "layers" in config else {}),
    )
    kind = PrototypeStateSpace if case["head"] == "prototype_state_space" else ResidualStateSpace
    head = filled(kind(settings, config["n_classes"]), "", case["weights"], place.salt)
    assert case["keys"]["entries"] == len(head.state_dict())
    assert case["keys"]["parameters"] == sum(parameter.numel() for parameter in head.parameters())
    sites, hours = torch.tensor(source["sites"]), torch.tensor(source["hours"])
    others = inputs.get("logits", inputs.get("first_pass"))
    with torch.inference_mode():
        for entry in case["outputs"]:
            if entry["name"] == "shifted":
                shifts = tuple(config["shifts"])
                actual = head.shifted(inputs["embeddings"], others, sites, hours, shifts, config["flipped"])
            else:
                actual = head(inputs["embeddings"], others, sites, hours)
            assert_close(place.expected(entry), actual.numpy(), entry["atol"], entry["name"])


@pytest.mark.parametrize(("place", "case"), golden("birdclef", "label_mapping"))
def test_label_mapping_of_birdclef_fills_the_published_columns(place: GoldenSet, case: dict[str, Any]) -> None:
    """By exact name, by genus, or not at all; and the temperatures of the groups."""
    source = case["input"]
    taxonomy = [Species(t["primary_label"], t["scientific_name"], t["class_name"]) for t in source["taxonomy"]]
    found = map_species(source["names"], taxonomy)
    assert case["mapped"] == dict(found.mapped)
    assert case["proxies"] == {column: list(classes) for column, classes in found.proxies.items()}
    assert case["temperatures"] == [species.temperature for species in taxonomy]
    expected = place.expected(case["expected"])
    assert_close(expected, found.logits(made(source["logits"], place)), case["atol"], case["id"])
    assert expected.dtype == np.float32
