"""Passes behind the first are measured by running them, as far as a dry run has time, and put in a true run's order."""

import pytest
from conftest import ClipMaker, RecipeMaker, SettingsMaker

from soundpost.engine.provision import provisioned
from soundpost.engine.run import Run
from soundpost.forecast.dry_run import DryRun
from soundpost.forecast.forecast import Load
from soundpost.forecast.later_passes import measure_later


def test_later_passes_are_measured_alone_and_in_company(
    make_assets: RecipeMaker, make_clips: ClipMaker, make_settings: SettingsMaker
) -> None:
    """The first fold goes alone, the others share its batches; each counts for one member."""
    settings = make_settings(make_assets({}), make_clips([0.3, 0.5, 0.7]))
    with provisioned(settings) as session:
        found = measure_later(session, Run(session), [])

        assert set(found) == {("tiny0", 0, False), ("tiny0", 0, True)}
        assert all(0 < one.forward <= one.clock * len(session.lanes) for one in found.values())
        assert session.predictions.answered().all()


def test_later_passes_that_would_not_end_in_time_are_not_begun(
    make_assets: RecipeMaker, make_clips: ClipMaker, make_settings: SettingsMaker
) -> None:
    """A dry run stays short whatever the networks cost."""
    settings = make_settings(make_assets({}), make_clips([0.3]))
    with provisioned(settings) as session:
        assert measure_later(session, Run(session), [], seconds=0.0) == {}


@pytest.mark.parametrize(("limit", "first"), [(3300.0, "tiny0"), (60.0, "tiny1")])
def test_passes_are_foretold_in_the_order_that_the_expected_clips_leave_time_for(
    make_assets: RecipeMaker,
    make_clips: ClipMaker,
    make_settings: SettingsMaker,
    monkeypatch: pytest.MonkeyPatch,
    limit: float,
    first: str,
) -> None:
    """The better recipe would reach all clips of this folder, but not all of a hundred times as many in a minute."""
    settings = make_settings(make_assets({"folds": 1}, {"folds": 1}), make_clips([0.3]))
    with provisioned(settings) as session:
        dry_run = DryRun(session)
        monkeypatch.setattr(dry_run._run.scheduler, "expected_seconds", lambda work: 0.01 if work.member else 1.0)
        load = Load(100, 30.0, limit, start_seconds=2.0, end_seconds=1.0, overhead=1.0, reserve_seconds=3.0)

        order = [session.models.members[work.member][0].name for work in dry_run._order(load)]

    assert sorted(order) == ["tiny0", "tiny1"]
    assert order[0] == first
