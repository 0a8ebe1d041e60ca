"""Networks and views compute on whatever device their input lies on: none makes a tensor on the CPU in between.

Shown on torch's meta device, where an operation on tensors of two devices is an error, as with a GPU's and a CPU's.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision_beside_cpu_torch import has_timm

from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.recipe_files import TEMPLATES, template
from soundpost.inference.fuse_batch_norm import logits_of
from soundpost.models import MODELS
from soundpost.registry import build
from soundpost.views import VIEWS

CLIP_SECONDS = 2
N_CLASSES = 80
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "argus": [
        {"name": "argus_rnn_aux_skip_attention"},
        {"name": "argus_skip_attention", "dropout": 0.2, "last_fc": 2},
    ],
    "ex4sperans_1d": [{"aggregation": "rnn"}],
    "ex4sperans_2d": [{"aggregation": "rnn"}],
    "qrfaction": [
        {"network": "se", "pool": "avemax3"},
        {"network": "msc"},
        {"network": "concat"},
        {"network": "se_cat"},
    ],
}


def cases() -> list[Any]:
    """Every template with views, and the further networks that its system has."""
    found = []
    for path in sorted(Path(TEMPLATES).glob("*.toml")):
        if template(path.stem).get("views"):
            found += [
                pytest.param(path.stem, change, id=" ".join([path.stem, *map(str, change.values())]))
                for change in [{}, *VARIANTS.get(path.stem, [])]
            ]
    return found


def test_mixing_devices_is_an_error_on_the_meta_device() -> None:
    """Else the tests below could not fail."""
    with pytest.raises(RuntimeError, match="device"):
        torch.empty(3, device="meta") + torch.ones(3)


@pytest.mark.parametrize(("name", "change"), cases())
def test_network_and_views_of_a_template_stay_on_their_device(name: str, change: dict[str, Any]) -> None:
    """From stacked windows to logits."""
    table = template(name)
    if table["model"]["name"] == "timm" and not has_timm():
        pytest.skip("timm is not installed; see requirements-timm.txt")
    model = {**table["model"], **change}
    front_end = build(FRONT_ENDS, table["front_end"]["name"], table["front_end"], "front end")
    rate = table.get("audio", {}).get("sample_rate", 44100) or 44100
    shape = front_end.shape(CLIP_SECONDS * rate)
    with torch.device("meta"):
        network = build(MODELS, model["name"], model, "model", N_CLASSES).eval()
    for named in table["views"]:
        view = build(VIEWS, named["name"], named, "view")
        window = view.cut(torch.zeros(shape), view.windows(shape[2])[0])
        with torch.inference_mode():
            logits = logits_of(network(view.prepare(torch.empty((2, *window.shape), device="meta"))))
        assert logits.device.type == "meta"
        assert (logits.shape[0], logits.shape[-1]) == (2, N_CLASSES)  # frames stand between, where they are asked for
