"""Which clips an epoch shows, and in which order, by name, imported when asked for (see registry.pick).

Each class takes its settings; called with the set of every clip, its targets and a generator, it gives rows in the
order in which they are shown.
"""

SAMPLERS: dict[str, str] = {
    "by_source": "soundpost.training.samplers.by_source:BySource",
    "class_balanced": "soundpost.training.samplers.class_balanced:ClassBalanced",
    "every_clip": "soundpost.training.samplers.every_clip:EveryClip",
    "weighted": "soundpost.training.samplers.weighted:Weighted",
}
