"""Test-time views by name, imported when asked for (see registry.pick)."""

VIEWS: dict[str, str] = {
    "segments": "soundpost.views.segments:Segments",
    "tiles": "soundpost.views.tiles:Tiles",
    "whole": "soundpost.views.whole:Whole",
}
