"""torchvision that also works with the CPU build of torch.

The published torchvision wheel is linked against the CUDA build of torch. With a CPU
build its compiled operators do not load, and ``import torchvision`` fails on the first
of them, `nms` (which only detection models use), unless torch is given their schemas.
Models, transforms and feature extraction then work.
"""

import sys

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    for name in [name for name in sys.modules if name.startswith("torchvision")]:
        del sys.modules[name]
    declared = torch.library.Library("torchvision", "FRAGMENT")  # kept alive
    for name in ("nms", "qnms"):
        declared.define(f"{name}(Tensor boxes, Tensor scores, float overlap) -> Tensor")
    import torchvision

from torchvision.models import feature_extraction

__all__ = ["feature_extraction", "torchvision"]
