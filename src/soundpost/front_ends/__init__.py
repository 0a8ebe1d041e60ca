"""Front ends by name, imported when asked for (see registry.pick)."""

FRONT_ENDS: dict[str, str] = {
    "log_mel": "soundpost.front_ends.log_mel:LogMel",
    "log_stft": "soundpost.front_ends.log_stft:LogStft",
    "pcen": "soundpost.front_ends.pcen:Pcen",
    "picture": "soundpost.front_ends.picture:Picture",
    "segments": "soundpost.front_ends.segments:Segments",
}
