"""What makes a set of training clips out of a table, by name, imported when asked for (see registry.pick).

Each class takes its settings; called with a table (columns fname and labels, and fold where the csv has it) and the
folder of the plan, it gives another one.
"""

SETS: dict[str, str] = {
    "copies": "soundpost.training.sets.copies:Copies",
    "corrected": "soundpost.training.sets.corrected:Corrected",
}
