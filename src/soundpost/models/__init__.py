"""Network families by name, imported when asked for (see registry.pick).

Each class takes (settings, n_classes) and carries its settings dataclass as the attribute Settings.
"""

MODELS: dict[str, str] = {}
