"""Section 2's questions, asked of sets of images, and how often its tests are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from helpers import checks, inference, rsa, significance, sparsity

TESTS = (
    "stimulus bootstrap",
    "stimulus bootstrap, calibrated",
    "Williams, on pairs",
    "Steiger, on pairs",
)
"""Tests of a difference in R2 whose false alarms are counted."""
_LATENTS = 8  # per a, b, c in the simulation under no effect


# ----------------------------------------------------------------------- one analysis
@dataclass(frozen=True, eq=False)
class Prediction:
    """How well a network's similarities predict people's, lowest PoZ first.

    Frames have a row per size, rule or split. What is undefined is NaN.
    """

    name: str  # of the set of images
    n_images: int
    poz: np.ndarray  # (n_features,)
    r2: np.ndarray  # (n_features,) at every size
    curve: pd.DataFrame  # share of features, `BootstrapCurve`, range over ties: tied_*
    orders: pd.DataFrame  # share of features, `RandomOrderNull`
    rules: pd.DataFrame  # share of features, `BootstrapCurve`, Steiger's pairs_p
    splits: pd.DataFrame  # of `NestedChoice`
    gain: np.ndarray  # (4,) of `NestedChoice`: value, low, high, p
    reliability: float  # of the judgments, NaN where raters are not known
    left_out: np.ndarray  # (4,) undefined judgments, resamples, random orders, splits

    @property
    def n_features(self) -> int:
        """Number of features of the full embedding."""
        return len(self.poz)

    @property
    def best_size(self) -> int:
        """Size of the largest R2, picked on the data it is scored on: optimistic."""
        return int(np.nanargmax(self.r2)) + 1

    @property
    def enough(self) -> float:
        """Share of the features from which on R2 stays at 95 % of the full or above.

        So a peak that is lost again does not count, nor does a size where R2 is NaN.
        """
        short = np.flatnonzero(~(self.r2 >= 0.95 * self.r2[-1] - 1e-12))
        return float(short[-1] + 2 if len(short) else 1) / self.n_features

    @property
    def tie_range(self) -> float:
        """Largest range of R2 over orders in ties, beyond a tenth of the features."""
        curve = self.curve[self.curve["share"] > 0.1]
        return float((curve["tied_high"] - curve["tied_low"]).max())

    def percentile_at(self, share: float) -> float:
        """Percentile among random orders at the size nearest to ``share``."""
        distance = np.abs(self.orders["share"].to_numpy() - share)
        return float(self.orders["percentile"].iloc[distance.argmin()])


def predict(
    name: str,
    embeddings: np.ndarray,
    human: np.ndarray,
    rng: np.random.Generator,
    similarity: str = "pearson",
    n_resamples: int = 1000,
    n_orders: int = 1000,
    n_ties: int = 20,
    n_repeats: int = 20,
    reliability: float = np.nan,
) -> Prediction:
    """Analyse one set; errors as `helpers.inference.prepare`.

    Parameters
    ----------
    embeddings : (n_images, n_features), post-ReLU.
    human : (n_images, n_images) or (n_pairs,) similarities; NaN pairs are dropped.
    similarity : as ``method`` of `helpers.rsa.similarity_matrix`.
    n_resamples, n_orders, n_ties, n_repeats : bootstrap resamples, random orders,
        random orders within ties, repeats of the cross-validation.
    reliability : of the judgments, carried along.
    """
    poz = sparsity.percentage_of_zeros(embeddings)
    n, order, kept = len(poz), sparsity.poz_order(poz), sparsity.rules(poz)
    sizes = np.union1d(inference.spaced_sizes(n), [k for k in kept.values() if k])
    given = inference.prepare(embeddings, order, human, sizes, similarity)
    fewer = replace(given, sizes=inference.spaced_sizes(n, 50))
    every = replace(given, sizes=np.arange(1, n + 1))
    boot = inference.bootstrap_curve(given, n_resamples=n_resamples, rng=rng)
    null = inference.random_order_null(fewer, n_orders=n_orders, rng=rng)
    nested = inference.nested_choice(given, n_repeats=n_repeats, rng=rng)
    tied = given.order_r2([sparsity.poz_order(poz, rng=rng) for _ in range(n_ties)])
    ties = {"tied_low": tied.min(axis=0), "tied_high": tied.max(axis=0)}
    orders_undefined = null.curve["n_undefined"].max()
    n_undefined = boot.n_undefined, orders_undefined, nested.n_undefined
    return Prediction(
        name=name,
        n_images=len(given.embeddings),
        poz=poz,
        r2=every.order_r2([order])[0],
        curve=boot.curve.assign(share=sizes / n, **ties),
        orders=null.curve.assign(share=fewer.sizes / n),
        rules=_of_rules(given, boot.curve, kept),
        splits=nested.splits,
        gain=nested.gain,
        reliability=reliability,
        left_out=np.array([given.n_missing, *n_undefined]),
    )


def _of_rules(
    given: inference.Prepared, curve: pd.DataFrame, kept: dict[str, int]
) -> pd.DataFrame:
    """Rows of the curve for each rule; NaN where a rule keeps no feature."""
    sizes = np.array(list(kept.values()))
    at = np.searchsorted(given.sizes, np.maximum(sizes, given.sizes[0]))
    values = given.human[given.judged], *given.similarities[[*at, -1]]
    r = np.corrcoef(values)
    correlations = r[0, 1:-1], r[0, -1], r[-1, 1:-1]
    test = significance.dependent_correlations(*correlations, len(values[0]))
    frame = curve.iloc[at].assign(pairs_p=test.steiger_p)
    frame.loc[sizes == 0] = np.nan
    frame.index = pd.Index(kept, name="rule")
    return frame.assign(size=sizes, share=sizes / len(given.order))


# ------------------------------------------------------- tables of several predictions
def gather(predictions: Mapping[str, Prediction], frame: str) -> pd.DataFrame:
    """A frame of each prediction, such as "curve", below one another: column "set"."""
    parts = {p.name: getattr(p, frame) for p in predictions.values()}
    return pd.concat(parts, names=["set"]).reset_index()


def effects(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """Numbers behind claims: columns value, low, high of "<what>_<key>".

    ``rule90`` and ``rule20``: change of R2 by the second and third rule; ``fifth``:
    ratio to the full R2 under the third; ``gain``: of the chosen size on other images.
    """
    rows = {}
    for key, p in predictions.items():
        change = p.rules[["difference", "difference_low", "difference_high"]].to_numpy()
        rows |= {f"rule90_{key}": change[1], f"rule20_{key}": change[2]}
        ratio = p.rules[["ratio", "ratio_low", "ratio_high"]].to_numpy()
        rows |= {f"fifth_{key}": ratio[2], f"gain_{key}": p.gain[:3]}
    return pd.DataFrame(rows, index=["value", "low", "high"]).T


def adjusted(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """p adjusted over the sets by Holm: a row per set, a column per rule and "gain"."""
    rules = pd.DataFrame({key: p.rules["p"] for key, p in predictions.items()}).T
    p = rules.assign(gain=[p.gain[3] for p in predictions.values()])
    return p.apply(significance.holm)


def set_table(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """The sets, their network and their judgments, as text: a column per set."""
    table = {}
    for p in predictions.values():
        full, best, reliability = p.r2[-1], np.nanmax(p.r2), ["not known"] * 2
        if np.isfinite(p.reliability):
            share = significance.explainable_share(full, p.reliability)
            reliability = f"{p.reliability:.3f}", f"{share:.0%}"
        undefined = ", ".join(map(str, p.left_out[1:]))
        table[p.name] = {
            "images": p.n_images,
            "nodes": f"{p.n_features:,}",
            "PoZ > 80 %": f"{(p.poz > 0.8).mean():.1%}",
            "ghosts": int((p.poz == 1).sum()),
            "R², all nodes": f"{full:.3f}",
            "largest R²": f"{best:.3f} (at {p.best_size / p.n_features:.0%})",
            "nodes for 95 % of the full R²": f"{p.enough:.1%}",
            "resamples, orders, splits left out as undefined": undefined,
            "reliability of the judgments": reliability[0],
            "share of the explainable variance, all nodes": reliability[1],
        }
    return pd.DataFrame(table)


def rules_table(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """What each rule changes in R2, as text: a row per set and rule."""
    frame = gather(predictions, "rules")
    frame["holm"] = adjusted(predictions).drop(columns="gain").to_numpy().ravel()
    change = "{difference:+.3f} ({difference_low:+.3f}, {difference_high:+.3f})"
    table = frame[["set", "rule"]].assign(kept=frame["share"].map("{:.0%}".format))
    table["change in R² (95 %)"] = [change.format(**row) for _, row in frame.iterrows()]
    tests = {"p": "p", "Holm": "holm"}
    tests |= {"calibrated p": "calibrated_p", "p on pairs": "pairs_p"}
    for title, column in tests.items():
        text = frame[column].map("{:.3f}".format)
        table[title] = text.mask(frame[column] < 0.001, "< 0.001")
    return table.set_index(["set", "rule"])


def nested_table(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """The choice on some images, scored on others, as text: a column per set."""
    table = {}
    for p in predictions.values():
        shares = p.splits["chosen"].quantile([0.25, 0.5, 0.75]) / p.n_features
        quartiles = " / ".join(shares.map("{:.0%}".format))
        held_out, full = p.splits[["held_out", "full"]].dropna().mean()
        gain, low, high, p_value = p.gain
        optimistic = np.nanmax(p.r2) - p.r2[-1]
        table[p.name] = {
            "chosen share of nodes (quartiles)": quartiles,
            "held-out R², chosen": f"{held_out:.3f}",
            "held-out R², all nodes": f"{full:.3f}",
            "gain": f"{gain:+.4f}",
            "95 % interval": f"{low:+.4f} to {high:+.4f}",
            "p": f"{p_value:.3f}",
            "gain of the maximum, scored where it was picked": f"{optimistic:+.4f}",
        }
    return pd.DataFrame(table)


# ---------------------------------------------------------------------------- records
def save(predictions: Mapping[str, Prediction], path: Path) -> None:
    """Record predictions as one .npz file; R2 at every size in single precision."""
    arrays = {}
    for key, prediction in predictions.items():
        for name in (field.name for field in fields(prediction)):
            value = getattr(prediction, name)
            if isinstance(value, pd.DataFrame):
                for column, values in value.reset_index().items():
                    arrays[f"{key}/{name}/{column}"] = np.array(values.tolist())
            else:
                dtype = np.float32 if name == "r2" else None
                arrays[f"{key}/{name}"] = np.asarray(value, dtype)
    np.savez_compressed(path, **arrays)


def load(arrays: Mapping[str, np.ndarray]) -> dict[str, Prediction]:
    """Predictions from the arrays of a file that `save` wrote; their names say so."""
    sets: dict[str, dict] = {}
    for path, value in arrays.items():
        key, name, *column = path.split("/")
        recorded = sets.setdefault(key, {})
        if column:
            recorded.setdefault(name, {})[column[0]] = value
        else:
            recorded[name] = value[()] if value.ndim == 0 else value
    for recorded in sets.values():
        recorded["name"] += ", recorded"
        for name, columns in recorded.items():
            if isinstance(columns, dict):
                recorded[name] = pd.DataFrame(columns).set_index(next(iter(columns)))
    return {key: Prediction(**recorded) for key, recorded in sets.items()}


# ------------------------------------------------------------------ how tests may err
def type_one_error(
    n_simulations: int = 200,
    n_images: int = 60,
    n_features: int = 80,
    *,
    rng: np.random.Generator,
    n_resamples: int = 500,
    image_noise: float = 1.0,
    pair_noise: float = 1.0,
) -> pd.DataFrame:
    """`false_alarms` of the paired stimulus bootstrap, percentile and calibrated, and
    of Williams' and Steiger's tests on pairs, where there is no difference in R2.

    No effect, exactly: images have independent, identically distributed latents a, b,
    c. One quarter of the post-ReLU features codes a, one quarter b with the same
    weights, the other half c. Judgments are similarities in (a, b, c) plus noise.
    Pruning the a-features or the b-features then predicts judgments equally well over
    the population of images, though in any one sample of them one of the two is better.

    ``image_noise`` and ``pair_noise`` are standard deviations, relative to the
    signal's, of similarity in what only people see (so its pairs are dependent) and of
    independent noise per pair. ValueError for fewer than 8 images or 16 features.
    """
    checks.at_least("n_simulations", n_simulations, 1)
    checks.at_least("n_images", n_images, 8)
    checks.at_least("n_features", n_features, 16)
    checks.at_least("n_resamples", n_resamples, 2)
    weights = rng.normal(size=(2, _LATENTS, n_features // 2))
    p = []
    for _ in range(n_simulations):
        sample = no_effect(n_images, weights, (image_noise, pair_noise), rng)
        counts = inference.bootstrap_counts(n_images, n_resamples, rng)
        p.append(_p_values(sample, counts))
    return false_alarms(np.array(p))


def false_alarms(p: np.ndarray, alpha: float = 0.05) -> pd.DataFrame:
    """How often ``p`` (n_simulations, n_tests) of `TESTS` lies below ``alpha``.

    A row per test: its rate with the Clopper-Pearson interval, low and high, and
    n_undefined simulations without a p, which do not count.
    """
    n, k = np.isfinite(p).sum(axis=0), (p < alpha).sum(axis=0)
    rate = k / np.where(n > 0, n, np.nan)
    low = np.where(k > 0, stats.beta.ppf(0.025, k, n - k + 1), 0)
    high = np.where(k < n, stats.beta.ppf(0.975, k + 1, n - k), 1)
    columns = {"rate": rate, "low": low, "high": high, "n_undefined": len(p) - n}
    return pd.DataFrame({"test": TESTS, **columns})


def no_effect(
    n_images: int, weights: np.ndarray, noises: tuple[float, float], rng
) -> tuple[np.ndarray, ...]:
    """One sample under no effect: similarities of the two prunings (2, n_pairs),
    judgments and images i, j, (n_pairs,) each. ``noises`` of images and pairs as
    `type_one_error`, ``weights`` (2, n_latents, n_features / 2).
    """
    a, b, c, private = rng.normal(size=(4, n_images, _LATENTS))
    quarter = weights[0][:, : weights.shape[2] // 2]
    codes = (a, quarter), (b, quarter), (c, weights[1])
    of_a, of_b, of_c = (np.maximum(latents @ w, 0) for latents, w in codes)
    i, j = np.triu_indices(n_images, 1)
    pruned = (np.hstack([part, of_c]) for part in (of_b, of_a))
    models = np.stack([rsa.similarity_matrix(x)[i, j] for x in pruned])
    signal = (a @ a.T + b @ b.T + c @ c.T)[i, j] / np.sqrt(3)
    dependent = (private @ private.T)[i, j]
    independent = np.sqrt(_LATENTS) * rng.normal(size=len(i))
    y = signal + noises[0] * dependent + noises[1] * independent
    valid = np.isfinite(models).all(axis=0)
    return models[:, valid], y[valid], i[valid], j[valid]


def _p_values(sample: tuple[np.ndarray, ...], counts: np.ndarray) -> tuple[float, ...]:
    """p of each of `TESTS` for a difference in R2 of the two models of a sample."""
    (models, y, i, j), n_images = sample, counts.shape[1]
    weights = np.ones((1, n_images)), counts, 1 - np.eye(n_images)
    r2 = (inference.weighted_r2(models, y, w, i, j) for w in weights)
    observed, resampled, left_out = map(inference.minus_last, r2)
    resampled = resampled[np.isfinite(resampled[:, 0])]
    calibrated = significance.calibrated_test(observed[0], resampled, left_out)[0, 2]
    (_, xy, xz), (_, _, yz), _ = np.corrcoef([y, *models])
    pairs = significance.dependent_correlations(xy, xz, yz, len(y))
    percentile = significance.two_sided_p(resampled)[0]
    return percentile, calibrated, float(pairs.williams_p), float(pairs.steiger_p)
