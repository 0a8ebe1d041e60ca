"""Front ends by name, imported when asked for (see registry.pick)."""

FRONT_ENDS: dict[str, str] = {
    "axis_picture": "soundpost.front_ends.axis_picture:AxisPicture",
    "log_mel": "soundpost.front_ends.log_mel:LogMel",
    "log_stft": "soundpost.front_ends.log_stft:LogStft",
    "pcen": "soundpost.front_ends.pcen:Pcen",
    "picture": "soundpost.front_ends.picture:Picture",
    "picture_stack": "soundpost.front_ends.picture_stack:PictureStack",
    "reassigned_picture": "soundpost.front_ends.reassigned_picture:ReassignedPicture",
    "segments": "soundpost.front_ends.segments:Segments",
    "window_picture": "soundpost.front_ends.window_picture:WindowPicture",
}
