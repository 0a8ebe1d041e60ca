"""Test-time views by name, imported when asked for (see registry.pick)."""

VIEWS: dict[str, str] = {
    "whole": "soundpost.views.whole:Whole",
}
