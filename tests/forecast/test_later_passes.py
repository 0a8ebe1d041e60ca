"""Passes behind the first are measured by running them, as far as a dry run has time."""

from conftest import ClipMaker, RecipeMaker, SettingsMaker

from soundpost.engine.provision import provisioned
from soundpost.engine.run import Run
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
