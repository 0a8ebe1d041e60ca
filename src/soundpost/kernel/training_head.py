"""Soundpost trains in one file: labelled clips in, weights out, session after session. Runs as a script or in a cell.

On Kaggle nothing needs to be set: the competition's clips are found, and so is this kernel's own earlier output where
it is attached. However far it comes, it ends in good order before the session does, with a last line that says what is
done, what is missing and what to do next. What it leaves, weights/NAME/recipe.toml and safetensors beside it, is what
build_kernel.py takes. Elsewhere:

    python train_kernel.py --input-root FOLDER --out FOLDER --limit 30m

Below stand, in this order: settings, the loader, an index of the source, the source as one compressed block, and the
plans, with their folds where those cannot be dealt there. There are no weights. Nothing is hidden in the block: it is
the repository's source, byte for byte, and

    python train_kernel.py --contents         lists every file that this one carries
    python train_kernel.py --unpack FOLDER    writes them all out
"""

# What a person may change, in Kaggle's editor. Any option of the command line may stand here (train_kernel.py --help
# lists them all); None means the default, and what is given on the command line comes first.
SETTINGS: dict[str, object] = {
    "limit": None,  # what the whole session may take; None: 11h30m of Kaggle's 12 hours
    "competition": None,  # slug of the data to look for first
    "curated": None,  # CSV:DIR from a folder under /kaggle/input; None: FSDKaggle2019's or FSDKaggle2018's
    "noisy": None,  # the same of clips whose labels may be wrong
    "start": None,  # weights to begin with: a file, or a recipe's folder, by its name in the mount
    "folds": None,  # train these members alone, such as "0,2"; None: all
    "epochs": None,  # in every stage, instead of the plan's
    "seed": None,  # another one is another training; None: 0
    "device": "auto",  # every GPU, one member on each; or "cpu", "cuda:0,cuda:1"
}

ENTRY = "soundpost.training.session.main"  # the module whose main runs
