"""Plans: a wrong key is refused with the nearest one; every published plan can be built."""

import pytest

from soundpost.errors import SettingsError
from soundpost.models import MODELS
from soundpost.registry import build, pick
from soundpost.training.augmentations import AUGMENTATIONS
from soundpost.training.criterion import Criterion
from soundpost.training.folds import FOLDS
from soundpost.training.inputs import INPUTS
from soundpost.training.mixing import Mixing, MixSettings
from soundpost.training.noisy import NOISY
from soundpost.training.optimisers import OptimiserSettings, freeze, optimiser
from soundpost.training.plan import LossSettings, SetSettings, find_plan, plan_names, plan_of, read_plan, strict
from soundpost.training.samplers import SAMPLERS
from soundpost.training.schedules import SCHEDULES
from soundpost.training.schedules.schedule import Length
from soundpost.training.sets import SETS
from soundpost.training.sets.corrected import Corrected

WRONG = [
    ({"stagse": []}, "unknown key stagse; did you mean stages?"),
    ({"stages": [{"epohcs": 3}]}, r"\[\[stages\]\] 1: unknown key epohcs; did you mean epochs?"),
    ({"optimiser": {"rat": 1}}, r"\[optimiser\]: unknown key rat; did you mean rate?"),
    ({"sets": {"curated": {"haerd": "all"}}}, r"\[sets.curated\]: unknown key haerd; did you mean heard?"),
    ({"mix": {"partners": ""}}, r"\[mix\]: unknown key partners; did you mean partner?"),
    ({"format": 2}, "format = 2; this version reads 1."),
    ({"template": "argsu"}, "template 'argsu' is not there."),
    ({"stages": [{"keep": "bset"}]}, "keep = 'bset'; known: last, best."),
]


@pytest.mark.parametrize(("table", "message"), WRONG, ids=[next(iter(table)) for table, _ in WRONG])
def test_plan_with_a_wrong_key_is_refused_with_the_nearest(table: dict[str, object], message: str) -> None:
    """Whichever table it stands in."""
    with pytest.raises(SettingsError, match=message.replace("?", "[?]")):
        plan_of(table, "plan.toml")


@pytest.mark.parametrize("name", plan_names())
def test_published_plan_can_be_built_from_its_tables(name: str) -> None:
    """Every entry that a plan names is there and takes its settings, in every stage."""
    path = find_plan(name)
    plan = read_plan(path)
    build(FOLDS, plan.folds["name"], plan.folds, "fold rule")
    for table in plan.sets.values():
        settings = strict(SetSettings, table, name)
        for one in settings.rules:
            rule = build(SETS, one["name"], one, "set")
            if isinstance(rule, Corrected) and "published maps" not in plan.note:
                assert (path.parent / rule.settings.corrections).is_file()
    network = build(MODELS, plan.model["name"], plan.model, "model", 80)
    names = [name for name, _ in network.named_parameters()]
    for number in range(len(plan.stages)):
        stage = plan.stage(number)
        Mixing(strict(MixSettings, stage.mix or {}, name))
        Criterion(strict(LossSettings, stage.loss or {}, name), list(plan.sets))
        build(SAMPLERS, stage.sampler["name"], stage.sampler, "sampler")
        for one in stage.augment or ():
            own = {key: value for key, value in one.items() if key != "off_from"}
            build(AUGMENTATIONS, one["name"], own, "augmentation")
        for one in stage.select.values():
            build(NOISY, one["name"], one, "rule")
        assert set(stage.heard) | set(stage.select) <= set(plan.sets)
        freeze(network, stage.trainable)
        moved = optimiser(strict(OptimiserSettings, stage.optimiser or {}, name), network)
        assert sum(len(group["params"]) for group in moved.param_groups) <= len(names)
        entry = pick(SCHEDULES, stage.schedule["name"], "schedule")
        own = {key: value for key, value in stage.schedule.items() if key != "name"}
        entry(moved, strict(entry.Settings, own, name), Length(stage.epochs, 7))
    assert plan.input["name"] in INPUTS
