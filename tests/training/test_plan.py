"""Plans: a wrong key is refused with the nearest one; every published plan can be built."""

import pytest

from soundpost.errors import SettingsError
from soundpost.models import MODELS
from soundpost.registry import build, pick
from soundpost.training.checked import check_plan
from soundpost.training.optimisers import OptimiserSettings, freeze, optimiser
from soundpost.training.plan import SetSettings, find_plan, plan_names, plan_of, read_plan, strict
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


LATE = [
    ({"augment": [{"name": "crop", "frame": 4}]}, "unknown setting frame; known: frames"),
    ({"augment": [{"name": "corp"}]}, "augmentation 'corp' is not known"),
    ({"stages": [{}, {"select": {"noisy": {"name": "agreement"}}}]}, r"no \[sets.noisy\]; sets are curated"),
    (
        {"sets": {"curated": {}, "noisy": {}}, "stages": [{"select": {"noisy": {"name": "agreement", "parts": 1}}}]},
        "parts = 1",
    ),
    ({"stages": [{}, {"schedule": {"name": "plateau", "patince": 3}}]}, "unknown key patince; did you mean patience"),
    ({"out_of_fold": {"name": "tiles", "stp": 3}}, "unknown setting stp"),
    ({"stages": [{"begin": "new"}]}, "begin = 'new'; known: on, anew"),
    ({"validation": {"clips": "all"}}, "clips = 'all'; known: held_out, heard"),
]


@pytest.mark.parametrize(("table", "message"), LATE, ids=[message for _, message in LATE])
def test_plan_is_checked_to_its_last_stage_before_anything_is_done(table: dict[str, object], message: str) -> None:
    """Entries and settings that only a later stage would build."""
    with pytest.raises(SettingsError, match=message):
        check_plan(plan_of(table, "plan.toml"))


@pytest.mark.parametrize("name", plan_names())
def test_published_plan_can_be_built_from_its_tables(name: str) -> None:
    """Every entry that a plan names is there and takes its settings, in every stage."""
    path = find_plan(name)
    plan = read_plan(path)
    check_plan(plan)
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
        freeze(network, stage.trainable)
        moved = optimiser(strict(OptimiserSettings, stage.optimiser or {}, name), network)
        assert sum(len(group["params"]) for group in moved.param_groups) <= len(names)
        entry = pick(SCHEDULES, stage.schedule["name"], "schedule")
        own = {key: value for key, value in stage.schedule.items() if key != "name"}
        entry(moved, strict(entry.Settings, own, name), Length(stage.epochs, 7))
