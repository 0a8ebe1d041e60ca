"""How learning rate and momentum go, by name, imported when asked for (see registry.pick).

Each is a class over an optimiser as torch.optim.lr_scheduler has them: made with (optimiser, settings, length), stepped
after every batch where its BY is "batch", after every epoch where it is "epoch", and after every epoch with the score
where it is "score".
"""

SCHEDULES: dict[str, str] = {
    "constant": "soundpost.training.schedules.by_epoch:Constant",
    "cosine_wave": "soundpost.training.schedules.by_epoch:CosineWave",
    "linear_cycle": "soundpost.training.schedules.by_batch:LinearCycle",
    "milestones": "soundpost.training.schedules.by_epoch:Milestones",
    "one_cycle_2": "soundpost.training.schedules.by_batch:OneCycle2",
    "one_cycle_v1": "soundpost.training.schedules.by_batch:OneCycleV1",
    "plateau": "soundpost.training.schedules.by_score:Plateau",
    "warm_cosine": "soundpost.training.schedules.by_batch:WarmCosine",
}
