"""Durations as people write them: 11h30m, 45m, 90s."""

import re

from soundpost.errors import SettingsError

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def seconds_of(text: str, option: str = "--limit") -> float:
    """Seconds of a duration such as 11h30m or 90s, given to an option.

    Raises:
        SettingsError: it is none.
    """
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", text)
    if not text or parts is None:
        raise SettingsError(f"{option} {text} is no duration. Write 11h30m, 45m or 90s.")
    return sum(float(number) * UNITS[unit] for number, unit in zip(parts.groups("0"), "hms", strict=True))
