"""The options of a run, from the command line and from a kernel's settings block."""

import pytest

from soundpost.errors import SettingsError
from soundpost.launch.loader import SETTINGS
from soundpost.launch.main import main
from soundpost.launch.options import not_negative, parse
from soundpost.settings import TIME_LIMIT, TIME_LIMIT_SECONDS, RunSettings, parse_seconds


def test_settings_are_defaults_and_the_command_line_comes_first() -> None:
    """What a person edited holds until an option says otherwise; None stands for the default."""
    options = parse(["--device", "cpu"], {"device": "cuda", "workers": 3, "time_limit": "85m", "log": None})

    assert (options.device, options.workers, options.time_limit, options.log) == ("cpu", 3, "85m", None)


@pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), (None, False)])
def test_settings_switch_is_on_only_where_it_is_true(value: bool | None, expected: bool) -> None:
    """False in the settings block is not taken for a word that follows the option."""
    assert parse([], {"dry-run": value}).dry_run == expected


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_the_loader_are_options(name: str) -> None:
    """Every line of the settings block is known, so that none is edited in vain."""
    assert hasattr(parse([], {name: "1"}), name.replace("-", "_"))


def test_settings_unknown_name_is_refused_with_the_nearest() -> None:
    """A line with a typing error is never passed over."""
    with pytest.raises(SettingsError, match=r"SETTINGS: --time-limt is no option \(did you mean --time-limit\?\)"):
        parse([], {"time-limt": "30m"})


def test_settings_unknown_name_ends_the_run_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    """In a notebook, too, where an exit in the middle would be shown as a defect."""
    assert main([], {"seed": 3}) == 2
    assert capsys.readouterr().out.startswith("error: SETTINGS: --seed is no option")


def test_settings_value_out_of_its_choices_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A value of the settings block is checked as one of the command line is."""
    with pytest.raises(SystemExit, match=r"^2$"):
        parse([], {"precision": "float8"})
    assert "--precision: invalid choice: 'float8'" in capsys.readouterr().err


def test_time_limit_without_an_option_is_the_one_of_the_settings() -> None:
    """The default is written once."""
    assert parse([], {}).time_limit == TIME_LIMIT
    assert parse_seconds(TIME_LIMIT, "time-limit") == TIME_LIMIT_SECONDS
    assert RunSettings("", "", "", "", "").time_limit_seconds == TIME_LIMIT_SECONDS


def test_not_negative_refuses_what_is_below_zero() -> None:
    """A count below zero is a typing error."""
    assert not_negative(0, "expect-clips") == 0
    with pytest.raises(SettingsError, match=r"--expect-clips -1 is negative"):
        not_negative(-1, "expect-clips")
