"""Where training clips come from, by name, imported when asked for (see registry.pick)."""

SETS: dict[str, str] = {
    "copies": "soundpost.training.sets.copies:Copies",
    "corrected": "soundpost.training.sets.corrected:Corrected",
    "folder": "soundpost.training.sets.folder:Folder",
}
