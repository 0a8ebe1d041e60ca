"""Front ends by name."""

from soundpost.front_ends.front_end import FrontEnd

FRONT_ENDS: dict[str, type] = {}

__all__ = ["FRONT_ENDS", "FrontEnd"]
