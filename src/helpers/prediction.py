"""Page 03's analysis of a set of images, its tables, and recorded analyses.

The primary test of a difference is the one that `pipeline.simulation` found honest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from helpers import inference, significance, sparsity

PRIMARY = {
    "low": "jackknife_low",
    "high": "jackknife_high",
    "p": "jackknife_p",
    "ratio_low": "calibrated_ratio_low",
    "ratio_high": "calibrated_ratio_high",
}
"""Primary intervals and p, and what `bootstrap_curve` calls them."""
GAIN = ("gain", "gain_low", "gain_high", "gain_p")


# ----------------------------------------------------------------------- one analysis
@dataclass(frozen=True, eq=False)
class Prediction:
    """How well a network's similarities predict people's, lowest PoZ first.

    Frames have a row per size, rule or split. What is undefined is NaN.
    """

    name: str  # of the set of images
    n_images: int
    poz: np.ndarray  # (n_features,)
    curve: pd.DataFrame  # of `bootstrap_curve`, with share, range in ties: tied_*
    orders: pd.DataFrame  # of `random_order_null`, with share
    rules: pd.DataFrame  # of `_of_rules`
    splits: pd.DataFrame  # of `nested_choice`
    gain: np.ndarray  # (4,) of `nested_choice`: value, low, high, p
    reliability: float  # of the judgments, NaN where raters are not known
    left_out: np.ndarray  # (4,) undefined judgments, resamples, random orders, splits
    null: pd.DataFrame = field(default_factory=pd.DataFrame)  # of `pipeline.human`

    @property
    def full(self) -> float:
        """R2 of all features."""
        return float(self.curve["r2"].iloc[-1])

    @property
    def best(self) -> pd.Series:
        """The curve where R2 is largest, on the data it is scored on: optimistic."""
        return self.curve.loc[self.curve["r2"].idxmax()]

    @property
    def tie_range(self) -> float:
        """Largest range of R2 over orders in ties, beyond a tenth of the features."""
        curve = self.curve[self.curve["share"] > 0.1]
        return float((curve["tied_high"] - curve["tied_low"]).max())


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
    raters: np.ndarray | None = None,
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
    raters : (n_raters, n_pairs) of which ``human`` is the mean. Where they are given,
        the intervals of the rules are those for new raters too (`two_factor`).
    """
    poz = sparsity.percentage_of_zeros(embeddings)
    n, order, kept = len(poz), sparsity.poz_order(poz), sparsity.rules(poz)
    sizes = np.union1d(inference.spaced_sizes(n), [k for k in kept.values() if k])
    given = inference.prepare(embeddings, order, human, sizes, similarity)
    fewer = replace(given, sizes=inference.spaced_sizes(n, 50))
    curve = inference.bootstrap_curve(given, n_resamples=n_resamples, rng=rng)
    orders = inference.random_order_null(fewer, n_orders=n_orders, rng=rng)[0]
    splits, gain = inference.nested_choice(given, n_repeats=n_repeats, rng=rng)
    tied = given.order_r2([sparsity.poz_order(poz, rng=rng) for _ in range(n_ties)])
    ties = {"tied_low": tied.min(axis=0), "tied_high": tied.max(axis=0)}
    left_out = [
        np.isnan(given.human).sum(),
        curve.pop("n_undefined").max(),
        orders["n_undefined"].max(),
        splits.isna().any(axis=1).sum(),
    ]
    both = pd.DataFrame()
    if raters is not None:
        few = replace(given, sizes=np.unique([k for k in kept.values() if k]))
        both = inference.two_factor(few, raters, n_resamples, rng=rng)
        both = both.rename(columns={end: f"new_{end}" for end in PRIMARY})
    return Prediction(
        name=name,
        n_images=len(given.embeddings),
        poz=poz,
        curve=curve.assign(share=sizes / n, **ties),
        orders=orders.assign(share=fewer.sizes / n),
        rules=_of_rules(given, curve, kept, both),
        splits=splits,
        gain=gain,
        reliability=reliability,
        left_out=np.array(left_out),
    )


def _of_rules(
    given: inference.Prepared,
    curve: pd.DataFrame,
    kept: dict[str, int],
    both: pd.DataFrame,
) -> pd.DataFrame:
    """A row per rule, NaN where it keeps no feature: the curve and, of `two_factor`, if
    there are raters, new_low, new_high, new_p, ...
    """
    sizes = np.array(list(kept.values()))
    at = np.searchsorted(given.sizes, np.maximum(sizes, given.sizes[0]))
    frame = curve.iloc[at]
    frame = frame.join(both.drop(columns=["difference", "ratio"], errors="ignore"))
    frame.loc[sizes == 0] = np.nan
    frame.index = pd.Index(kept, name="rule")
    return frame.assign(size=sizes, share=sizes / len(given.order))


def primary(rules: pd.DataFrame) -> pd.DataFrame:
    """A curve or rules with the intervals of `PRIMARY` under their names there.

    Where there are raters, they are those for new raters as well; images_low,
    images_high, images_p, ... are those for new images only. Also percentile_p.
    """
    table = rules.assign(percentile_p=rules["p"])
    table = table.assign(**{end: rules[name] for end, name in PRIMARY.items()})
    for end in PRIMARY if "new_p" in rules else ():
        table[f"images_{end}"] = table[end]
        table[end] = table.pop(f"new_{end}").fillna(table[end])
    return table


# ------------------------------------------------------- tables of several predictions
def gather(predictions: Mapping[str, Prediction], frame: str) -> pd.DataFrame:
    """One frame of every prediction, such as "curve", stacked, with a column "set"."""
    parts = {p.name: getattr(p, frame) for p in predictions.values()}
    return pd.concat(parts, names=["set"]).reset_index()


def effects(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """Numbers behind claims: columns value, low, high of "<what>_<key>".

    ``rule90`` and ``rule20``: change of R2 by the second and third rule; ``fifth``:
    ratio to the full R2 under the third; ``gain``: of the chosen size on other images.
    """
    tables = {
        key: of_claims(primary(p.rules), p.gain) for key, p in predictions.items()
    }
    table = pd.concat(tables).swaplevel()
    return table.set_axis(table.index.map("_".join))


def of_claims(rules: pd.DataFrame, gain: np.ndarray) -> pd.DataFrame:
    """The rows of `effects` of one set, without its name, from `primary` rules."""
    change = rules[["difference", "low", "high"]].to_numpy()
    ratio = rules[["ratio", "ratio_low", "ratio_high"]].to_numpy()
    rows = {"rule90": change[1], "rule20": change[2], "fifth": ratio[2]}
    rows["gain"] = gain[:3]
    return pd.DataFrame(rows, index=["value", "low", "high"]).T


def effects_by_chance(predictions: Mapping[str, Prediction]) -> dict[str, np.ndarray]:
    """`effects` for random orders, (n_orders, 3) each, where these were analysed."""
    draws = {}
    for key, p in predictions.items():
        for _, rows in p.null.groupby(level=0):
            table = of_claims(primary(rows), rows[list(GAIN)].to_numpy()[0])
            for what, row in table.iterrows():
                draws.setdefault(f"{what}_{key}", []).append(row)
    return {name: np.array(rows) for name, rows in draws.items()}


def adjusted(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """p adjusted by Holm over all sets, rules and gains: a row per set, a column per
    rule and "gain"."""
    p = pd.DataFrame({key: primary(x.rules)["p"] for key, x in predictions.items()}).T
    p["gain"] = [x.gain[3] for x in predictions.values()]
    return pd.DataFrame(significance.holm(p), p.index, p.columns)


# ---------------------------------------------------------------------------- records
def load(arrays: Mapping[str, np.ndarray]) -> dict[str, Prediction]:
    """Predictions from the arrays of a file of `pipeline.human`, named as recorded."""
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
