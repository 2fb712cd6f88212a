"""torchvision with the CPU build of torch.

The published torchvision wheel is linked against the CUDA build of torch. With a CPU
build its compiled operators do not load, and ``import torchvision`` fails on the first
of them, `nms` (non-maximum suppression, which only detection models use).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_MISSING = "operator torchvision::nms does not exist"
_ARGUMENTS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list = []
"""The torch library that declares the operators: they vanish when it is collected."""


def import_torchvision() -> ModuleType:
    """torchvision, with the operators declared that a CPU build of torch lacks.

    They are declared only if the import fails on them. Models, transforms, feature
    extraction and utils then work; detection models and ``torchvision.io`` do not.
    Raises ImportError where torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    declare_operators()
    return importlib.import_module("torchvision")


def declare_operators() -> None:
    """Give torch the schemas (no kernels) of torchvision's operators, once."""
    import torch

    if not _libraries:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(name + _ARGUMENTS)
        _libraries.append(library)
