"""What becomes of noisy clips, by name, imported when asked for (see registry.pick).

Each class takes its settings; called with files, truth and the answers of an earlier stage, it gives a Selection.
"""

NOISY: dict[str, str] = {
    "agreement": "soundpost.training.noisy.agreement:Agreement",
    "as_given": "soundpost.training.noisy.selection:AsGiven",
    "best_of_each_label": "soundpost.training.noisy.best_of_each_label:BestOfEachLabel",
    "poor_classes": "soundpost.training.noisy.poor_classes:PoorClasses",
    "relabel": "soundpost.training.noisy.agreement:Relabel",
}
