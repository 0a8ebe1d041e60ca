"""Every table of a plan is looked at before a clip is decoded: what is wrong in the last stage is said at once."""

from soundpost.errors import SettingsError
from soundpost.registry import build, pick
from soundpost.training.criterion import Criterion
from soundpost.training.folds import FOLDS
from soundpost.training.inputs import INPUTS
from soundpost.training.inputs.chain import placed
from soundpost.training.mixing import Mixing, MixSettings
from soundpost.training.noisy.choice import ChoiceOfNoisy
from soundpost.training.plan import LossSettings, Plan, SetSettings, StageSettings, strict
from soundpost.training.samplers import SAMPLERS
from soundpost.training.schedules import SCHEDULES
from soundpost.training.sets import SETS
from soundpost.views import VIEWS


def check_plan(plan: Plan) -> None:
    """Refuse a plan of which some part could not be built.

    Raises:
        SettingsError: an entry or a setting that is not known, or a set that the plan does not have.
    """
    build(FOLDS, plan.folds["name"], plan.folds, "fold rule", where="[folds]")
    pick(INPUTS, plan.input["name"], "input")
    for name, table in plan.sets.items():
        for one in strict(SetSettings, table, f"[sets.{name}]").rules:
            build(SETS, one["name"], one, "set", where=f"[sets.{name}] rules")
    if plan.out_of_fold:
        build(VIEWS, plan.out_of_fold["name"], plan.out_of_fold, "view", where="[out_of_fold]")
    for number in range(len(plan.stages)):
        _check_stage(plan, plan.stage(number))


def _check_stage(plan: Plan, stage: StageSettings) -> None:
    where = f"[[stages]] {stage.name}"
    if strange := sorted({*stage.heard, *stage.select} - set(plan.sets)):
        raise SettingsError(f"{where}: no [sets.{strange[0]}]; sets are {', '.join(plan.sets)}. Correct it.")
    Mixing(strict(MixSettings, stage.mix or {}, f"{where} [mix]"))
    Criterion(strict(LossSettings, stage.loss or {}, f"{where} [loss]"), list(plan.sets))
    sampler = stage.sampler or {}
    build(SAMPLERS, sampler["name"], sampler, "sampler", where=f"{where} [sampler]")
    for one in stage.augment or ():
        placed(one)
    for name, table in stage.select.items():
        ChoiceOfNoisy(table, f"{where} select.{name}")
    entry = pick(SCHEDULES, stage.schedule["name"], "schedule")
    own = {key: value for key, value in stage.schedule.items() if key != "name"}
    strict(entry.Settings, own, f"{where} schedule")
