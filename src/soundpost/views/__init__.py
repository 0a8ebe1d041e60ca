"""Test-time views by name, imported when asked for (see registry.pick)."""

VIEWS: dict[str, str] = {
    "adaptive_crops": "soundpost.views.adaptive_crops:AdaptiveCrops",
    "band_shifts": "soundpost.views.band_shifts:BandShifts",
    "fixed_windows": "soundpost.views.fixed_windows:FixedWindows",
    "lit_crops": "soundpost.views.lit_crops:LitCrops",
    "masked_crops": "soundpost.views.masked_crops:MaskedCrops",
    "segments": "soundpost.views.segments:Segments",
    "tiles": "soundpost.views.tiles:Tiles",
    "whole": "soundpost.views.whole:Whole",
    "zoomed_crops": "soundpost.views.zoomed_crops:ZoomedCrops",
}
