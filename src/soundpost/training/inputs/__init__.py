"""What a batch is made of, by name, imported when asked for (see registry.pick).

Each class takes its settings and a Shared (plan, clips, features, device); material(...) is what one stage of one
member learns from.
"""

INPUTS: dict[str, str] = {
    "composed": "soundpost.training.inputs.composed:Composed",
    "segments": "soundpost.training.inputs.segments:Segments",
    "spectrograms": "soundpost.training.inputs.chain:Spectrograms",
    "waveforms": "soundpost.training.inputs.chain:Waveforms",
    "windows": "soundpost.training.inputs.windowed:Windowed",
}
