"""What a session's processes do with a plan: look at it, train a member, tell the scores of all members."""

import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from soundpost.ensemble.recipe_folder import OUT_OF_FOLD, fold_file
from soundpost.ensemble.weights_folder import RECIPE
from soundpost.errors import KitError, SettingsError
from soundpost.inference.devices import choose_devices
from soundpost.training.begin import start_file
from soundpost.training.clips import VALIDATED, Source, read_clips
from soundpost.training.finish import leave_recipe, members_there, score
from soundpost.training.inputs.material import Shared
from soundpost.training.member_file import is_finished
from soundpost.training.plan import Plan, read_plan
from soundpost.training.session.mounts import find_places, find_start
from soundpost.training.session.session import FOLDS_FILE, PLAN_FILE, Found, Session
from soundpost.training.session.tables import folds_of, plain_csv, wanted
from soundpost.training.store import alone
from soundpost.training.train import ONLY_MEMBER, Campaign, History

CPU = torch.device("cpu")


def look(session: Session) -> Found:
    """What there is to do, and on which devices; recipes that an earlier end has not written are written."""
    devices = choose_devices(session.device)
    if {*devices} == {"cpu"} and session.device in ("auto", "cpu"):
        devices = ["cpu"]  # one process with all cores
    folds, unscored, refused = {}, [], {}
    for name in sorted(path.name for path in Path(session.plans).iterdir()):
        try:
            campaign = campaign_of(session, name, CPU)
            asked_for = _asked_for(session, campaign)
            if campaign.start:
                for fold in asked_for:
                    start_file(campaign.start, fold)
            _check_members(campaign)
            folds[name] = asked_for
        except KitError as error:
            refused[name] = str(error)
            continue
        clips = campaign.shared.clips
        told = f"{len(clips.scored)} curated of {len(clips.paths)} clips, {len(clips.labels)} classes"
        print(f"{name}: {told}, members {', '.join(campaign.folds)}", flush=True)
        there = members_there(campaign)
        if there and set(there) != _named_in(campaign.out / RECIPE):
            leave_recipe(campaign, there)
        if campaign.folds != (ONLY_MEMBER,) and not session.folds:
            is_told = len(there) == len(campaign.folds) and (campaign.out / OUT_OF_FOLD).is_file()
            unscored += [] if is_told else [name]
    return Found(tuple(devices), folds, tuple(unscored), refused)


def train(
    session: Session,
    name: str,
    fold: str,
    device: str,
    is_time: Callable[[], bool],
    on_epoch: Callable[[str, History], None],
) -> None:
    """Train a member as far as time allows, and write the recipe of those that are there.

    Raises:
        Paused: it was time to stop.
        SettingsError: another training has left a member or a checkpoint there.
    """
    campaign = replace(campaign_of(session, name, torch.device(device), is_time), on_epoch=on_epoch)
    campaign.member(fold)
    with alone(Path(session.scratch) / "recipes" / name):
        (campaign.out / OUT_OF_FOLD).unlink(missing_ok=True)  # they are other members' by now
        leave_recipe(campaign, members_there(campaign))


def tell_scores(session: Session, name: str, device: str) -> None:
    """Out-of-fold answers and scores of a plan whose members are all there."""
    campaign = campaign_of(session, name, torch.device(device))
    for told in score(campaign, leave_recipe(campaign, members_there(campaign)), device):
        print(told, flush=True)


def campaign_of(
    session: Session, name: str, device: torch.device, is_time: Callable[[], bool] = lambda: False
) -> Campaign:
    """A plan's campaign over the clips that are attached.

    Raises:
        SettingsError: the plan or its clips cannot be used.
    """
    path = Path(session.plans) / name / PLAN_FILE
    plan = replace(read_plan(path), name=name)
    if session.epochs:
        plan = replace(plan, stages=tuple({**stage, "epochs": session.epochs} for stage in plan.stages))
    clips = read_clips(plan, _sources(session, plan), path.parent)
    scratch = Path(session.scratch)
    shared = Shared(plan, clips, device, scratch / "features", is_time=is_time)
    start = find_start(Path(session.input_root), session.start) if session.start else None
    return Campaign(shared, session.folder(name), session.seed, start, save_every=session.save_every)


def _sources(session: Session, plan: Plan) -> dict[str, Source]:
    places = find_places(Path(session.input_root), session.competition, session.given)
    sources = {}
    for kind in sorted(wanted(plan) & set(places)):
        place = places[kind]
        csv = plain_csv(place.csv, kind, plan, Path(session.scratch) / "tables")
        folds = Path(session.plans) / plan.name / FOLDS_FILE
        known = folds_of(folds.read_text("utf-8"), csv) if kind == VALIDATED and folds.is_file() else None
        sources[kind] = Source(csv, place.folder, known)
    return sources


def _asked_for(session: Session, campaign: Campaign) -> tuple[str, ...]:
    if unknown := sorted(set(session.folds) - set(campaign.folds)):
        raise SettingsError(f"--folds {','.join(unknown)}: folds are {', '.join(campaign.folds)}. Correct --folds.")
    return session.folds or campaign.folds


def _check_members(campaign: Campaign) -> None:
    """Look at the members that are there; one that is damaged is named and removed, to be trained again.

    Raises:
        SettingsError: one of another training; both digests are named.
    """
    for fold in members_there(campaign):
        file = fold_file(campaign.out, fold)
        if not is_finished(file, campaign.digest(fold)):
            file.unlink()


def _named_in(recipe: Path) -> set[str]:
    """Folds that a recipe names; none where it cannot be read."""
    try:
        return {str(member["fold"]) for member in tomllib.loads(recipe.read_text("utf-8"))["members"]}
    except (OSError, ValueError, KeyError):
        return set()
