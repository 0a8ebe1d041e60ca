"""What is done to training clips, by name, imported when asked for (see registry.pick).

Each class takes its settings. draw(batch, generator) says what happens to each clip, one row a clip; apply(batch,
drawn) does it to the whole batch, on the device where the batch lies, and draws nothing.
"""

AUGMENTATIONS: dict[str, str] = {
    "adaptive_crop": "soundpost.training.augmentations.adaptive_crop:AdaptiveCrop",
    "band_and_stretch": "soundpost.training.augmentations.band_and_stretch:BandAndStretch",
    "crop": "soundpost.training.augmentations.crop:Crop",
    "effects": "soundpost.training.augmentations.effects:Effects",
    "erase": "soundpost.training.augmentations.erase:Erase",
    "lighting": "soundpost.training.augmentations.lighting:Lighting",
    "pad": "soundpost.training.augmentations.pad:Pad",
    "place": "soundpost.training.augmentations.place:Place",
    "resized_crop": "soundpost.training.augmentations.resized_crop:ResizedCrop",
    "reverse": "soundpost.training.augmentations.reverse:Reverse",
    "slices": "soundpost.training.augmentations.slices:Slices",
    "spec_augment": "soundpost.training.augmentations.spec_augment:SpecAugment",
    "warp_zoom": "soundpost.training.augmentations.warp_zoom:WarpZoom",
}

# Those that make clips another length, each by itself. Where a chain begins with them they see one clip after the
# other, so that a long clip is cut before it lies beside others, all of which would be padded to its length.
BY_CLIP = ("adaptive_crop", "crop", "pad", "place")
