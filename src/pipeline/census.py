"""How often each node of a reader's own network fires, in bounded memory.

A node that is silent for every image is *dead here*: it may still fire for images that
were not shown. One with a PoZ above `RARE` that fires for some image is *rare*.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from helpers import sparsity
from pipeline import formats

RARE = 0.9
"""PoZ above which a live node is rare."""
KINDS = ("dead", "rare", "live")
BINS = 20


@dataclass(frozen=True, eq=False)
class Census:
    """Zeros of a matrix of activations."""

    poz: np.ndarray  # (n_nodes,) in [0, 1]
    n_active: np.ndarray  # (n_images,) nodes that are not zero

    @property
    def n_images(self) -> int:
        return len(self.n_active)

    @property
    def kinds(self) -> np.ndarray:
        """Of each node, one of `KINDS`: (n_nodes,) text."""
        return np.select([self.poz == 1, self.poz > RARE], KINDS[:2], KINDS[2])

    @property
    def silent_images(self) -> np.ndarray:
        """Images, ascending, for which every node is zero."""
        return np.flatnonzero(self.n_active == 0)

    @property
    def largest_rate(self) -> float:
        """The share of images for which a node may fire that fired for none of these.

        The one-sided 95 % bound for images drawn like these: 1 - 0.05^(1 / n).
        """
        return 1 - 0.05 ** (1 / self.n_images)

    def histogram(self) -> pd.DataFrame:
        """Nodes by PoZ, in `BINS` of equal width and a row for dead nodes: a frame with
        the columns poz (middle of the bin), share, kind."""
        alive = self.poz[self.poz < 1]
        inside = np.maximum(alive - 1e-9, 0)  # an edge belongs to the bin below it
        counts, edges = np.histogram(inside, BINS, (0, 1))
        middles = (edges[:-1] + edges[1:]) / 2
        kind = np.where(middles > RARE, "rare", "live")
        frame = pd.DataFrame({"poz": middles, "nodes": counts, "kind": kind})
        dead = {"poz": 1.0, "nodes": len(self.poz) - len(alive), "kind": "dead"}
        frame = pd.concat([frame, pd.DataFrame([dead])], ignore_index=True)
        return frame.assign(share=frame["nodes"] / len(self.poz))


def count(values: np.ndarray, source: str = "activations") -> Census:
    """Count zeros, `pipeline.formats.BLOCK` bytes of rows at a time.

    ``values``: (n_images, n_nodes), post-ReLU, perhaps mapped from a file. Raises
    `formats.Refused` for a value that is negative or not finite, with its place.
    """
    n_zero = np.zeros(values.shape[1], np.int64)
    n_active = np.zeros(len(values), np.int64)
    for rows in formats.row_blocks(values.shape):
        block = np.asarray(values[rows], np.float64)
        try:
            poz = sparsity.percentage_of_zeros(block)
        except ValueError as error:
            raise formats.Refused(bad_entry(block, rows, values, source)) from error
        n_zero += np.rint(poz * len(block)).astype(np.int64)
        n_active[rows] = np.count_nonzero(block, axis=1)
    return Census(n_zero / len(values), n_active)


def bad_entry(block: np.ndarray, rows: slice, values: np.ndarray, source: str) -> str:
    """What is wrong with the first entry that is negative or not finite."""
    row, column = np.argwhere(~(np.isfinite(block) & (block >= 0)))[0]
    value = block[row, column]
    if value < 0 and np.isfinite(value):
        remedy = "take the output of the ReLU, not of the layer before it"
    else:
        remedy = "correct or remove that image"
    return (
        f"{source} of shape {values.shape} is {value:g} at image {rows.start + row}, "
        f"node {column}; {remedy}."
    )
