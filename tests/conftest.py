"""One thread, so that tests run side by side and give the same bits everywhere."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("busy machine", deadline=None)  # others compute beside us
settings.load_profile("busy machine")


@pytest.fixture
def rng():
    return np.random.default_rng(20230824)


@pytest.fixture
def sparse(rng):
    """Post-ReLU-like embeddings (12 images, 30 features) with a threshold per node.

    Three features are ghosts.
    """
    x = np.maximum(rng.normal(size=(12, 30)) - rng.uniform(-1, 1.5, 30), 0)
    x[:, [4, 11, 27]] = 0
    return x
