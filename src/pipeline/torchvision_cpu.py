"""torchvision beside the CPU build of torch.

The published torchvision wheel is linked against the CUDA build of torch. Beside a CPU build its compiled operators do
not load and ``import torchvision`` fails on the first of them, `nms` (non-maximum suppression, which only detection
models use).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_MISSING = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_kept: list = []
"""The torch library that holds the declared operators: they vanish with it."""


def import_torchvision() -> ModuleType:
    """Return torchvision, declaring the operators that a CPU build of torch lacks if (and only if) the import asks.

    Models, datasets, transforms, feature extraction and utils then work; detection models and ``torchvision.io``
    decoding do not. Raises ImportError where torchvision is not installed, and any other error of the import unchanged.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _MISSING not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    _declare_operators()
    return importlib.import_module("torchvision")


def _declare_operators() -> None:
    """Give torch the schemas (no kernels) of torchvision's operators, once."""
    import torch

    if not _kept:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        _kept.append(library)
