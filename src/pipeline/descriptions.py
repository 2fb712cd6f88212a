"""The paper's words for images that excite ghosts, as measures of pixels.

Its text on Fig. 2 speaks of a "strong repetitive vertical pattern", and of a cohesive
foreground over a patterned background. Each measure is a number per image; those of the
images at the top of a component are compared with those of all images of the corpus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from scipy import fft, ndimage, stats

from helpers import ghosts, significance
from pipeline import extraction

BAND = 8, 64
"""Cycles per image from which to which a pattern counts."""
LAGS = 12, 80
"""Distances in pixels at which it may repeat."""
TILT = np.pi / 8
"""Largest angle between a vertical pattern and the vertical."""
WORDS = {
    "vertical pattern": "share of the spectral energy of patterns that are vertical",
    "repetition": "highest correlation of the pattern with itself, shifted",
    "spatial frequency": "mean octave of the spectral energy; high: fine detail",
    "patterned background": "log2 of contrast in the surround over that in the centre",
    "centre stands out": "distance of the mean colours of centre and surround in SDs",
}
"""Measures of `describe`, and what they are."""


def describe(images: Iterable[extraction.Picture]) -> pd.DataFrame:
    """Every measure of `WORDS` for square images, a row each."""
    rows = []
    for image in map(extraction.open_image, images):
        colour = np.asarray(image, dtype=float) / 255
        spectral = spectral_measures(colour.mean(axis=2))
        rows.append(spectral | centre_measures(colour))
    return pd.DataFrame(rows)[list(WORDS)]


def spectral_measures(grey: np.ndarray) -> dict[str, float]:
    """Orientation, repetition and frequency of an image (n, n); NaN if it is even.

    A Hann window keeps the edges of the image out of its spectrum.
    """
    n = len(grey)
    window = np.outer(*2 * [np.hanning(n)])
    weighted = (grey - np.average(grey, weights=window)) * window
    energy = np.abs(fft.fft2(weighted)) ** 2
    cycles = fft.fftfreq(n, 1 / n)
    radius = np.hypot(cycles[:, None], cycles)
    angle = np.arctan2(np.abs(cycles)[:, None], np.abs(cycles))
    pattern = (radius >= BAND[0]) & (radius <= BAND[1])
    vertical = energy[pattern & (angle <= TILT)].sum()
    every = (radius >= 1) & (radius <= n / 2)
    octave = np.log2(radius, out=np.zeros_like(radius), where=radius > 0)
    itself = fft.ifft2(np.where(pattern, energy, 0)).real
    shift = (radius >= LAGS[0]) & (radius <= LAGS[1])  # lags are laid out as cycles are
    with np.errstate(invalid="ignore"):
        return {
            "vertical pattern": vertical / energy[pattern].sum(),
            "repetition": itself[shift].max() / itself[0, 0],
            "spatial frequency": (energy * octave)[every].sum() / energy[every].sum(),
        }


def centre_measures(colour: np.ndarray) -> dict[str, float]:
    """The central quarter of an image (n, n, 3) against the rest; NaN if it is even.

    Contrast is the root mean square of what a Gaussian of 2 pixels takes away.
    """
    n = len(colour)
    centre = np.zeros((n, n), bool)
    centre[n // 4 : n - n // 4, n // 4 : n - n // 4] = True
    fine = colour - ndimage.gaussian_filter(colour, (2, 2, 0))
    inside, outside = ((fine[part] ** 2).mean() for part in (centre, ~centre))
    apart = colour[centre].mean(axis=0) - colour[~centre].mean(axis=0)
    spread = colour.reshape(-1, 3).std(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.log2(outside / inside) / 2
        return {
            "patterned background": ratio if np.isfinite(ratio) else np.nan,
            "centre stands out": np.sqrt((apart**2).sum() / (spread**2).sum()),
        }


def compare(scores: np.ndarray, looks: pd.DataFrame, n_top: int) -> pd.DataFrame:
    """How the top images of each component look, against all images.

    ``scores`` is (n_images, n_components), ``looks`` has a row per image. By component
    (from 1) and measure: value, the mean of the top images in SDs from that of all;
    p, two-sided, of the rank-sum test without continuity correction (Wilcoxon's, as the
    top were drawn from all images); adjusted_p (Holm, over components and measures).
    """
    top, n = ghosts.top_images(scores, n_top), len(looks)
    ranks = stats.rankdata(looks, axis=0, nan_policy="omit")
    away = ((looks - looks.mean()) / looks.std(ddof=0)).to_numpy()
    expected, spread = np.nanmean(ranks, axis=0), np.nanstd(ranks, axis=0)
    error = spread * np.sqrt((n - n_top) / ((n - 1) * n_top))
    z = (np.nanmean(ranks[top], axis=1) - expected) / error
    p = 2 * stats.norm.sf(np.abs(z))
    rows = [range(1, len(top) + 1), looks.columns]
    rows = pd.MultiIndex.from_product(rows, names=["component", "measure"])
    columns = {"value": np.nanmean(away[top], axis=1).ravel(), "p": p.ravel()}
    table = pd.DataFrame(columns, rows)
    return table.assign(adjusted_p=significance.holm(p).ravel())


def summary(compared: pd.DataFrame) -> Mapping[str, float]:
    """Of `compare`: how many comparisons are significant (Holm, 5 %), and the values of
    the first component by measure.
    """
    distinct = int((compared["adjusted_p"] < 0.05).sum())
    return {"distinct looks": distinct} | compared["value"].loc[1].to_dict()
