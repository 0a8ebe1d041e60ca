"""Which clip belongs to which fold, by name, imported when asked for (see registry.pick).

Each class takes its settings; called with file names, truth and the csv's own folds, it gives a fold for every clip.
"""

FOLDS: dict[str, str] = {
    "column": "soundpost.training.folds.simple:Column",
    "deal": "soundpost.training.folds.simple:Deal",
    "held_out": "soundpost.training.folds.published:HeldOut",
    "kfold": "soundpost.training.folds.split:KFold",
    "multilabel_stratified": "soundpost.training.folds.stratified:MultilabelStratified",
    "none": "soundpost.training.folds.simple:NoFold",
    "of_name": "soundpost.training.folds.published:OfName",
}
