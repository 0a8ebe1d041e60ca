"""Registry entries of the fakes; by itself, so that naming them imports no torch."""

FAKE_MODELS = {
    "endless": "fakes:Endless",
    "fake": "fakes:Fake",
    "frame_wise": "fakes:FrameWise",
    "slow": "fakes:Slow",
    "no_number": "fakes:NoNumber",
    "hungry": "fakes:Hungry",
    "hungry_mean": "fakes:HungryMean",
    "broken": "fakes:Broken",
    "steep": "fakes:Steep",
    "choosy": "fakes:Choosy",
}
FAKE_FRONT_ENDS = {"deadly": "fakes:Deadly", "stalling": "fakes:Stalling"}
