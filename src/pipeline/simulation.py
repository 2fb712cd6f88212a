"""How often page 03's intervals hold the truth: simulated studies of known differences.

The population is that of 2,400 images with their AlexNet fc7 embeddings, a study a
sample of 120 of them. Two predictions are compared: by all features and by the fifth
with the lowest PoZ over the population. Judged similarity has four parts, with known
shares of its variance over the population (`SETTINGS`):

* signal: z_all + z_fifth, the two predictions, standardised. Both are equally
  correlated with it over the population, so there is *no difference*, exactly, though
  in a sample one of them looks better. With a difference, the signal is z_fifth alone.
* image effects u_i + u_j, which all pairs of an image share, such as its typicality;
* private latents: the product of what is seen in two images and not in the embedding;
* noise of each pair.

**Which test is primary: the rule, written down before the simulation was run.**
Candidates for a difference at a size fixed beforehand are the percentile bootstrap, the
t test with the jackknife's variance, and the calibrated t test. A candidate is honest
if, in every setting, at most 7.5 % of the studies without a difference raise a false
alarm and at least 92.5 % of its 95 % intervals hold the true difference (half as many
errors again as the nominal number: Bradley 1978, Br. J. Math. Stat. Psychol. 31,
144-152). The primary test is the honest candidate that finds the difference in most
studies, averaged over settings; without an honest one, that with the fewest false
alarms in its worst setting. Intervals of R2 and of its ratio are chosen likewise, by
coverage, the narrowest of the honest ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from helpers import data, inference, rsa, significance, sparsity
from pipeline import manifest, samples

SEED = 0
N_IMAGES, N_RESAMPLES, N_REPEATS = 120, 400, 20
N_RATED = 200
"""Resamples of images and raters."""
SHARES = np.arange(1, 10) / 10
"""Of the features, inserted from low to high PoZ; the second is the fifth."""
SETTINGS = {
    "pair noise": (0.35, 0.0, 0.0, 0.65),
    "image effects": (0.35, 0.3, 0.0, 0.35),
    "image effects and latents": (0.35, 0.3, 0.3, 0.05),
}
"""Shares of the judgments' variance: signal, images, latents, pairs."""
N_LATENTS = 4
N_OBJECTS, N_RATERS, RATED = 92, 16, "16 raters"
COMMON, OWN, TASTE = (0.35, 0.1, 0.1, 0.05), (0.0, 0.2, 0.2, 0.6), 0.5
"""As in `SETTINGS`, common to all raters and of each; standard deviation over raters of
how much more z_fifth than z_all counts."""
FIFTH = 1
GAP = "difference"


class Population:
    """Images with embeddings, and what their similarities have in common with judgments
    that have a signal and independent parts."""

    def __init__(self, embeddings: np.ndarray):
        self.embeddings = np.asarray(embeddings, dtype=np.float64)
        n = embeddings.shape[1]
        poz = sparsity.percentage_of_zeros(self.embeddings)
        self.order = sparsity.poz_order(poz)
        self.sizes = np.ceil(SHARES * n).astype(int)
        pairs = np.triu_indices(len(embeddings), 1)
        z = np.empty(
            (len(self.sizes) + 1, len(embeddings), len(embeddings)), np.float32
        )
        for k, size in enumerate((*self.sizes, n)):
            matrix = rsa.similarity_matrix(self.embeddings[:, self.order[:size]])
            z[k] = (matrix - matrix[pairs].mean()) / matrix[pairs].std()
        self.z = z  # similarity at the sizes, standardised over all pairs of images
        two = [z[k][pairs].astype(float) for k in (FIFTH, -1)]
        products = [[np.mean(model[pairs] * other) for other in two] for model in z]
        self.correlations = np.array(products)

    def true_r2(self, weights: np.ndarray, share: float) -> np.ndarray:
        """R2 at the sizes and, last, of all features, (n_sizes + 1,): over all pairs
        of images, and over all draws of the other parts of the judgments.

        ``weights`` of z_fifth and z_all in the signal, with a ``share`` of variance.
        """
        correlations = self.correlations
        variance = weights @ correlations[[FIFTH, -1]] @ weights
        return share * (correlations @ weights) ** 2 / variance

    def similarities(self, images: np.ndarray) -> np.ndarray:
        """Of the pairs of some images, (n_sizes + 1, n_pairs)."""
        i, j = np.triu_indices(len(images), 1)
        return self.z[:, images[i], images[j]].astype(float)

    def signal(self, images: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Of the pairs of some images, with mean 0 and SD 1 over the population."""
        z = self.similarities(images)[[FIFTH, -1]]
        return weights @ z / np.sqrt(weights @ self.correlations[[FIFTH, -1]] @ weights)

    def prepare(self, images: np.ndarray, human: np.ndarray) -> inference.Prepared:
        """A study of these images; the order of the features is the population's."""
        given = inference.prepare(
            self.embeddings[images], self.order, human, self.sizes
        )
        vars(given)["similarities"] = self.similarities(images)  # up to their scale
        return given


WEIGHTS = {"no difference": np.array([1.0, 1.0]), "difference": np.array([1.0, 0.0])}
"""Of z_fifth and z_all in the signal."""


def record(alexnet: Path, simulations: int, command: str) -> None:
    """Simulate studies in each setting, into ``data/coverage.npz``.

    ``alexnet`` as `pipeline.samples` reads it.
    """
    population = Population(samples.read_alexnet(alexnet)[0])
    tables = []
    for effect, weights in WEIGHTS.items():
        for setting, shares in SETTINGS.items():
            arguments = population, weights, shares, simulations
            found = studies(*arguments, rng=np.random.default_rng(SEED))
            tables.append(rates(found).assign(setting=setting, effect=effect))
            print(tables[-1].round(3).to_string(), flush=True)
        arguments = population, weights, simulations
        found = rated_studies(*arguments, rng=np.random.default_rng(SEED))
        tables.append(rates(found).assign(setting=RATED, effect=effect))
        print(tables[-1].round(3).to_string(), flush=True)
    table = pd.concat(tables, ignore_index=True)
    table["n_images"] = np.where(table["setting"] == RATED, N_OBJECTS, N_IMAGES)
    table["n_population"] = len(population.embeddings)
    target = data.data_folder() / "coverage.npz"
    np.savez_compressed(target, **{k: np.array(v.tolist()) for k, v in table.items()})
    about = {"source": "simulated here, with embeddings by AlexNet fc7"}
    inputs = f"sha256 of fc7: {samples.FC7_SHA256[:12]}"
    about |= {"licence": "CC BY 4.0", "seed": str(SEED), "inputs": inputs}
    manifest.register(target, command, **about)


def studies(
    population: Population,
    weights: np.ndarray,
    shares: tuple[float, ...],
    n_studies: int,
    n_images: int = N_IMAGES,
    n_resamples: int = N_RESAMPLES,
    *,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Every interval of page 03 in every study: quantity, method, value, low, high, p,
    truth and whether the interval held it (1, 0; NaN without one).

    ``weights`` as `WEIGHTS`, ``shares`` as `SETTINGS`.
    """
    truth = population.true_r2(weights, shares[0])
    rows = []
    for _ in range(n_studies):
        images = rng.choice(len(population.embeddings), n_images, replace=False)
        signal = population.signal(images, weights)
        given = population.prepare(images, judgments(signal, shares, n_images, rng))
        rows += of_curve(given, truth, n_resamples, rng)
        rows.append(of_choice(given, truth, rng))
    return pd.DataFrame(rows)


def judgments(
    signal: np.ndarray, shares: tuple[float, ...], n_images: int, rng
) -> np.ndarray:
    """Judgments (n_pairs,) of which the signal has the first of the ``shares``."""
    i, j = np.triu_indices(n_images, 1)
    u, latents = rng.normal(size=n_images), rng.normal(size=(n_images, N_LATENTS))
    products = (latents[i] * latents[j]).sum(axis=1) / np.sqrt(N_LATENTS)
    noise = rng.normal(size=len(i))
    parts = signal, (u[i] + u[j]) / np.sqrt(2), products, noise
    return np.sqrt(shares) @ np.stack(parts)


def of_curve(given: inference.Prepared, truth: np.ndarray, n_resamples: int, rng):
    """Rows of `studies` from the bootstrap over images."""
    curve = inference.bootstrap_curve(given, n_resamples=n_resamples, rng=rng)
    fifth, true_curve = curve.iloc[FIFTH], truth[:-1] - truth[-1]
    columns = {
        ("R²", "percentile"): "r2 low high",
        ("R²", "calibrated"): "r2 calibrated_r2_low calibrated_r2_high",
        ("ratio", "percentile"): "ratio ratio_low ratio_high",
        ("ratio", "calibrated"): "ratio calibrated_ratio_low calibrated_ratio_high",
        (GAP, "percentile"): "difference difference_low difference_high p",
        (GAP, "calibrated"): "difference calibrated_low calibrated_high calibrated_p",
        (GAP, "jackknife"): "difference jackknife_low jackknife_high jackknife_p",
    }
    true = {"R²": truth[FIFTH], "ratio": truth[FIFTH] / truth[-1]}
    rows = []
    for (quantity, method), names in columns.items():
        numbers = list(fifth[names.split()])
        rows.append(
            _row(quantity, method, numbers, true.get(quantity, true_curve[FIFTH]))
        )
    rows.append(_row(GAP, "Steiger, on pairs", steiger(given), true_curve[FIFTH]))
    held = curve["all_low"].le(true_curve) & curve["all_high"].ge(true_curve)
    band = fifth[["difference", "all_low", "all_high", "all_p"]]
    everywhere = _row("difference, all sizes", "simultaneous", band, true_curve[FIFTH])
    return [*rows, everywhere | {"held": float(held.all())}]


def _row(quantity: str, method: str, numbers, truth: float) -> dict:
    """``numbers`` are value, low, high and, if there is one, p."""
    numbers = [*numbers, np.nan][:4]
    row = dict(zip(("value", "low", "high", "p"), numbers, strict=True))
    held = float(row["low"] <= truth <= row["high"])
    row["held"] = np.nan if np.isnan(row["low"]) else held
    return {"quantity": quantity, "method": method, "truth": truth} | row


def steiger_p(xy: np.ndarray, xz: np.ndarray, yz: np.ndarray, n: int) -> np.ndarray:
    """Two-sided p of no difference between r_xy and r_xz in one sample of size ``n``.

    Steiger (1980), Psych. Bull. 87, eq. 14. NaN where y and z are the same.

    With x the human judgments, y and z two embeddings and ``n`` the number of *pairs*,
    pairs are treated as independent, which they are not: this gives far too many false
    positives (`rates`).
    """
    m = ((xy + xz) / 2) ** 2
    covariance = yz * (1 - 2 * m) - m * (1 - 2 * m - yz**2) / 2
    variance = (2 - 2 * covariance / (1 - m) ** 2) / (n - 3)
    scale = np.sqrt(np.where(1 - yz < 1e-12, np.nan, variance))
    return 2 * stats.norm.sf(np.abs(np.arctanh(xy) - np.arctanh(xz)) / scale)


def steiger(given: inference.Prepared) -> tuple[float, ...]:
    """value, no interval, and p of the fifth's difference by Steiger's test."""
    pruned, full = given.similarities[[FIFTH, -1]]
    (_, xy, xz), (_, _, yz), _ = np.corrcoef([given.human, pruned, full])
    p = steiger_p(xy, xz, yz, len(full))
    return xy**2 - xz**2, np.nan, np.nan, float(p)


def of_choice(given: inference.Prepared, truth: np.ndarray, rng) -> dict:
    """A row of `studies`: the gain of the chosen size on held-out images.

    The truth is the mean true difference of the sizes that were chosen.
    """
    splits, gain = inference.nested_choice(given, n_repeats=N_REPEATS, rng=rng)
    chosen = np.searchsorted(given.sizes, splits["chosen"])
    true = (truth - truth[-1])[chosen].mean()
    return _row("gain, held out", "corrected t", gain, true)


def rated_studies(
    population: Population,
    weights: np.ndarray,
    n_studies: int,
    n_images: int = N_OBJECTS,
    n_raters: int = N_RATERS,
    n_resamples: int = N_RATED,
    *,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """As `studies`, with raters who differ: the two-factor interval, and those of the
    same resamples that take images or raters as the only sample.

    Raters differ in how much of the signal is z_fifth, in image effects and in pairs.
    The truth is the mean difference over all studies, of other images and raters.
    """
    rows = []
    for _ in range(n_studies):
        images = rng.choice(len(population.embeddings), n_images, replace=False)
        z = np.stack([population.signal(images, unit) for unit in np.eye(2)])
        taste = TASTE * rng.normal(size=(n_raters, 1)) * np.array([1, -1])
        shared = judgments(population.signal(images, weights), COMMON, n_images, rng)
        own = [judgments(0 * shared, OWN, n_images, rng) for _ in range(n_raters)]
        raters = shared + taste @ z + own
        given = population.prepare(images, raters.mean(axis=0))
        given = replace(given, sizes=given.sizes[[FIFTH]])
        table = inference.two_factor(given, raters, n_resamples, rng=rng).iloc[0]
        numbers = {"two-factor": table[["difference", "low", "high", "p"]]}
        for factor, n in (("images", n_images), ("raters", n_raters)):
            value, error = table["difference"], table[factor]
            ends = stats.t.interval(significance.LEVEL, n - 1, value, error)
            p = 2 * stats.t.sf(abs(value) / error, n - 1)
            numbers[f"{factor} only"] = value, *ends, p
        quantity = "difference, new raters"
        rows += [_row(quantity, method, x, np.nan) for method, x in numbers.items()]
    found = pd.DataFrame(rows).assign(truth=lambda rows: rows["value"].mean())
    held = found["low"].le(found["truth"]) & found["high"].ge(found["truth"])
    return found.assign(held=held.astype(float))


def rates(found: pd.DataFrame, alpha: float = 0.05) -> pd.DataFrame:
    """By quantity and method: the share of intervals that hold the truth (coverage), of
    p below ``alpha`` (alarms), both with Clopper-Pearson intervals, NaN where there is
    no interval or no p; the bias of the value; the mean half width; and the latter
    relative to 1.96 standard deviations of value - truth, as wide as need be.
    """
    rows = []
    for (quantity, method), part in found.groupby(["quantity", "method"], sort=False):
        error = part["value"] - part["truth"]
        half_width = (part["high"] - part["low"]).mean() / 2
        row = {"quantity": quantity, "method": method, "n_studies": len(part)}
        row |= {"truth": part["truth"].mean(), "bias": error.mean()}
        row |= share_of("coverage", part["held"].dropna() == 1)
        row |= share_of("alarms", part["p"].dropna() < alpha)
        row |= {"half_width": half_width, "relative_width": half_width / error.std()}
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.assign(relative_width=table["relative_width"] / stats.norm.ppf(0.975))


def share_of(name: str, true: pd.Series) -> dict[str, float]:
    """Share of true ones as ``name``; _low and _high by Clopper and Pearson."""
    if not len(true):
        return {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    test = stats.binomtest(int(true.sum()), len(true))
    low, high = test.proportion_ci()
    return {name: test.statistic, f"{name}_low": low, f"{name}_high": high}
