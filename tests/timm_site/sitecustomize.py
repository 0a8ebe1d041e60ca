"""Imported by every Python that has this folder on its path, so that kernels that tests start can import timm."""

import importlib.util
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
if importlib.util.find_spec("torchvision"):
    import torchvision_beside_cpu_torch  # noqa: F401
