"""Exit statuses of a run, by name, for the engine's process and for the one that guards it."""

STATUS_OK = 0
STATUS_DEFECT = 1  # an exception that nobody foresaw
STATUS_REFUSED = 2  # settings, weights or limits with which there can be no prediction
STATUS_NOTHING = 3  # the time ended before any clip was answered
STATUS_DEVICE = 75  # the device broke; another engine can go on without it
