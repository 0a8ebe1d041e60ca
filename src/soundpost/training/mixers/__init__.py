"""How two training clips become one, by name, imported when asked for (see registry.pick).

Each class takes its settings. draw(own, partner, generator) says how; apply(own, partner, drawn) mixes each clip of a
batch with the partner in the same row, inputs and targets alike, on the device where the batches lie.
"""

MIXERS: dict[str, str] = {
    "add": "soundpost.training.mixers.add:Add",
    "blend": "soundpost.training.mixers.blend:Blend",
    "cut_mix": "soundpost.training.mixers.cut_mix:CutMix",
    "mixup": "soundpost.training.mixers.mixup:Mixup",
    "mixup_batch": "soundpost.training.mixers.mixup_batch:MixupBatch",
    "or_rule": "soundpost.training.mixers.or_rule:OrRule",
    "sigmoid_concat": "soundpost.training.mixers.sigmoid_concat:SigmoidConcat",
    "spec_mix": "soundpost.training.mixers.spec_mix:SpecMix",
    "waveform": "soundpost.training.mixers.waveform:Waveform",
}
