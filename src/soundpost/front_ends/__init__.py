"""Front ends by name, imported when asked for (see registry.pick)."""

FRONT_ENDS: dict[str, str] = {}
