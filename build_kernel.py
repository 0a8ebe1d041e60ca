"""Builds kernel.py, the whole kit in one file for Kaggle; src/soundpost/kernel/command.py does it.

python build_kernel.py --help
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from soundpost.kernel.command import main

if __name__ == "__main__":
    sys.exit(main())
