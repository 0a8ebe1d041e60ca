"""Front ends by name, imported when asked for (see registry.pick)."""

FRONT_ENDS: dict[str, str] = {
    "log_mel": "soundpost.front_ends.log_mel:LogMel",
    "segments": "soundpost.front_ends.segments:Segments",
}
