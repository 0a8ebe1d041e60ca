"""Templates of the systems that see pictures: front end, views and network of each fit together."""

from pathlib import Path

import pytest
import torch

from soundpost.audio.decode import AudioSettings
from soundpost.front_ends import FRONT_ENDS
from soundpost.importers.__main__ import IMPORTERS
from soundpost.importers.recipe_files import template
from soundpost.models import MODELS
from soundpost.models.inception import Inception, InceptionSettings
from soundpost.registry import pick, settings_from
from soundpost.views import VIEWS

TEMPLATES = (
    *("erc2019_m0", "erc2019_m2", "erc2019_m3", "erc2019_dcase", "seventh_custom", "seventh_inception"),
    *("simongrest", "filipmu", "hires_spectrogram"),
)


def built(registry: dict[str, str], table: dict[str, object], kind: str, *arguments: int) -> object:
    settings = dict(table)
    entry = pick(registry, str(settings.pop("name")), kind)
    return entry(settings_from(entry.Settings, settings, kind), *arguments)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("seconds", [0.5, 7.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_template_takes_clips_of_any_length_to_logits(name: str, seconds: float, dtype: torch.dtype) -> None:
    """What the front end promises and the cache keeps, cut by every view, is what the network takes (on no device)."""
    table = template(name)
    audio = AudioSettings(**table["audio"])
    samples = int(seconds * audio.sample_rate)
    samples = audio.length_samples if audio.length_rule == "loudest" else max(samples, audio.length_samples)
    shape = built(FRONT_ENDS, table["front_end"], "front end").shape(samples)
    spectrogram = torch.zeros(shape, dtype=dtype)
    with torch.device("meta"):
        network = built(MODELS, table["model"], "model", 5).eval()
    for settings in table["views"]:
        view = built(VIEWS, settings, "view")
        windows = view.windows(shape[-1])
        assert sum(window.weight for window in windows) > 0
        cuts = torch.stack([view.cut(spectrogram, window).to(dtype) for window in windows])
        assert cuts.isfinite().all()
        assert network(view.prepare(cuts.float()).to("meta")).shape == (len(windows), 5)


def test_inception_trains_everywhere_and_answers_each_row_alone() -> None:
    """Every parameter gets a gradient; a row's logits do not depend on its batch mates; one plane is seen thrice."""
    torch.manual_seed(5)
    model, batch = Inception(InceptionSettings(width_ratio=0.125), 3), torch.rand(3, 1, 80, 96)
    model(batch).square().sum().backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    with torch.inference_mode():
        answer = model.eval()(batch)
        torch.testing.assert_close(answer[1:2], model(batch[1:2].expand(-1, 3, -1, -1)), rtol=1e-5, atol=1e-5)


def test_inception_of_the_seventh_place_is_imported_without_its_auxiliary_head(tmp_path: Path) -> None:
    """Names that prediction does not need are left out."""
    model = Inception(InceptionSettings(channels=1), 3)
    torch.save({**model.state_dict(), "AuxLogits.fc.bias": torch.zeros(3)}, tmp_path / "fold1.pth")
    recipe = IMPORTERS["seventh_one_channel"](tmp_path, tmp_path / "out", "one", tuple("abc"))
    assert (recipe.model.settings["channels"], recipe.members[0].fold) == (1, "1")
