"""How rarely a node fires: percentage of zeros (PoZ), orders by PoZ, ghost features.

PoZ after Hu, Peng, Tai & Tang (2016, arXiv:1607.03250), who average it over a layer
(APoZ); here per node, as a share.
"""

from __future__ import annotations

import numpy as np

from helpers import checks


def percentage_of_zeros(embeddings: np.ndarray) -> np.ndarray:
    """Share of images for which each node is zero, (n_features,) in [0, 1].

    0 fires for every image, 1 for none (a ghost). Raises ValueError unless
    ``embeddings`` are post-ReLU: (n_images, n_features), finite and not negative.
    """
    return (checks.embeddings(embeddings, post_relu=True) == 0).mean(axis=0)


def poz_order(
    poz: np.ndarray,
    highest_first: bool = False,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Feature indices (n_features,) from lowest to highest PoZ, or the other way round.

    ``poz`` is (n_features,) in [0, 1], else ValueError. ``rng`` breaks ties at random;
    without it they keep the order of their indices, in both directions.
    """
    poz = checks.real("poz", poz)
    if poz.ndim != 1 or not ((poz >= 0) & (poz <= 1)).all():
        raise ValueError(
            f"poz must be (n_features,) in [0, 1]; got {poz}, shape {poz.shape}. "
            "Divide percentages by 100."
        )
    ties = np.arange(len(poz)) if rng is None else rng.permutation(len(poz))
    return np.lexsort((ties, -poz if highest_first else poz))


def ghost_features(embeddings: np.ndarray) -> np.ndarray:
    """Indices, ascending, of the features that are zero for every image.

    ``embeddings`` (n_images, n_features) and errors as for `percentage_of_zeros`.
    """
    return np.flatnonzero(percentage_of_zeros(embeddings) == 1)


def rules(poz: np.ndarray) -> dict[str, int]:
    """How many of the lowest-PoZ features each rule keeps; no rule uses human data.

    Drop ghosts (PoZ 1); drop PoZ > 90 %; keep the 20 % with the lowest PoZ, rounded up.
    The first two never split a tie and may keep no feature; the third may split one.
    ``poz`` and errors as for `poz_order`.
    """
    n_features = len(poz_order(poz))
    return {
        "drop ghosts": int((np.asarray(poz) < 1).sum()),
        "drop PoZ > 90%": int((np.asarray(poz) <= 0.9).sum()),
        "keep the 20% lowest": -(-n_features // 5),
    }
