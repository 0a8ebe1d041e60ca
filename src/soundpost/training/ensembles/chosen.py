"""soundpost ensemble choose: the blend of recipes whose out-of-fold answers score best."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from soundpost.errors import SettingsError
from soundpost.evaluation.metrics import accuracy, lwlrap
from soundpost.training.choose import Choice, best, every_choice, nested_score
from soundpost.training.ensembles.submission import foretold, inputs_of, submission_of, write_submission
from soundpost.training.ensembles.tables import Answers, read_answers
from soundpost.training.out_of_fold import write_table

SHOWN = 5  # best combinations that are printed


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("recipes", nargs="+", type=Path, metavar="weights/NAME", help="folders of trained recipes, second levels too")
    add("--csv", type=Path, required=True, help="fname,labels by which answers are scored")
    add("--out", type=Path, help="the submission (default: submission.toml beside the first recipe)")
    add("--at-most", type=int, help="recipes in the blend")


def main(options: argparse.Namespace) -> None:
    """Choose and write.

    Raises:
        SettingsError: recipes, answers or csv cannot be used.
    """
    if options.at_most is not None and options.at_most < 1:
        raise SettingsError(f"--at-most {options.at_most}: at least 1 is needed.")
    out = options.out or options.recipes[0].parent / "submission.toml"
    given = read_answers(options.recipes, options.csv)
    names = [recipe.name for recipe in given.recipes]
    wanted = [name for recipe in given.recipes for name in inputs_of(recipe) if name not in names]
    if wanted:  # a second level's inputs have answers, too, even where they are not to be chosen alone
        raise SettingsError(f"a second level sees {', '.join(dict.fromkeys(wanted))}. Name them, too.")
    print(summary(given))
    choices = every_choice(given.truth, given.tables, options.at_most)
    chosen = best(choices)
    print(f"\n{_table(given, choices)}\n")
    if len(set(given.folds)) > 1:
        nested = nested_score(given.truth, given.tables, given.folds, options.at_most)
        print(f"chosen without each fold, scored on it: lwlrap {nested:.4f}; so much of {chosen.score:.4f} is not luck")
    table = submission_of([given.recipes[number] for number in chosen.subset])
    answer = foretold(table, given)
    kept = write_submission(out, table, options.recipes)
    beside = out.with_name(f"{out.stem}_out_of_fold.csv")
    write_table(beside, given.files, given.folds, given.labels, answer)
    said = f"lwlrap {lwlrap(given.truth, answer):.4f}, accuracy {accuracy(given.truth, answer):.4f}"
    stays = f"; {', '.join(kept)} of the former one stay" if kept else ""
    print(f"{out}: {', '.join(names[number] for number in chosen.subset)}; {said} out of fold{stays}")
    print(f"{beside}: its answers. Next: soundpost build --submission {out}")


def summary(given: Answers) -> str:
    """What there is to choose from."""
    lines = [f"{len(given.files)} clips, {len(given.labels)} classes, {len(given.recipes)} recipes"]
    if given.left_out:
        lines.append(f"{given.left_out} clips left out, because a recipe or the csv does not have them")
    if given.folds_differ:
        lines.append(f"recipes were trained on different folds; those of {given.recipes[0].name} are meant below")
    return "\n".join(lines)


def _table(given: Answers, choices: Sequence[Choice]) -> str:
    """Markdown: each recipe alone, the best combinations, and all recipes together."""
    names = [recipe.name for recipe in given.recipes]
    ranked = sorted(choices, key=lambda choice: -choice.score)[:SHOWN]
    whole = [choice for choice in choices if len(choice.subset) == len(names) > 1]
    alone = [choice for choice in choices if len(choice.subset) == 1]
    lines = [f"| {len(choices)} combinations | lwlrap |", "|---|---|"]
    for title, group in (("alone: ", alone), ("", ranked), ("all: ", whole)):
        for choice in group:
            said = ", ".join(names[number] for number in choice.subset)
            lines.append(f"| {title}{said if title != 'all: ' else len(names)} | {choice.score:.4f} |")
    return "\n".join(lines)
