"""What is made small, by name, imported when asked for (see registry.pick).

Each class takes its settings; called with logits and targets (batch, classes), it gives their mean loss.
"""

LOSSES: dict[str, str] = {
    "bce": "soundpost.training.losses.binary:Bce",
    "bce_without_outliers": "soundpost.training.losses.outliers:BceWithoutOutliers",
    "cross_entropy": "soundpost.training.losses.cross_entropy:CrossEntropy",
    "focal": "soundpost.training.losses.binary:Focal",
    "lq": "soundpost.training.losses.noise_robust:Lq",
    "lsep": "soundpost.training.losses.lsep:Lsep",
    "soft_bootstrap": "soundpost.training.losses.noise_robust:SoftBootstrap",
}
