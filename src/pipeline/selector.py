"""Selection of nodes by their percentage of zeros, as a scikit-learn transformer."""

from __future__ import annotations

from math import ceil

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from helpers import sparsity


class PoZSelector(SelectorMixin, BaseEstimator):
    """Keep nodes that fire often enough, or the share of nodes that fire most.

    PoZ is counted over the images of ``fit``; labels are not looked at. In a pipeline
    under cross-validation it is counted over training images only.

    Parameters
    ----------
    max_poz : keep nodes with at most this PoZ, in [0, 1]. 0.9 drops rarely-firing
        nodes; anything from 1 - 1 / n_images up to, not including, 1 drops ghosts only.
    share : None, or keep this share of the nodes instead, in (0, 1], those with the
        lowest PoZ, rounded up; ties in the order of the columns.

    Attributes
    ----------
    poz_ : (n_features,) share of images for which each node is zero.
    n_features_in_, feature_names_in_ : as of every transformer of scikit-learn.
    """

    def __init__(self, max_poz: float = 0.9, share: float | None = None):
        self.max_poz = max_poz
        self.share = share

    def fit(self, X, y=None):
        """Count zeros; ValueError for negative or undefined values, or if no node is
        kept."""
        X = validate_data(self, X, dtype=np.float64, ensure_non_negative=True)
        if not 0 <= self.max_poz <= 1:
            raise ValueError(f"max_poz must lie in [0, 1]; got {self.max_poz!r}.")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError(
                f"share must lie in (0, 1] or be None; got {self.share!r}."
            )
        self.poz_ = sparsity.percentage_of_zeros(X)
        if not self._get_support_mask().any():
            raise ValueError(
                f"no node has a PoZ of at most {self.max_poz}; the lowest is "
                f"{self.poz_.min():g}. Raise max_poz or set share."
            )
        return self

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self, "poz_")
        if self.share is None:
            return self.poz_ <= self.max_poz
        n_kept = ceil(round(self.share * len(self.poz_), 9))
        kept = np.zeros(len(self.poz_), bool)
        kept[sparsity.poz_order(self.poz_)[:n_kept]] = True
        return kept

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
