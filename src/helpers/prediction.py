"""Page 03's analysis of a set of images, its tables, and recorded analyses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from helpers import inference, significance, sparsity


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
    curve: pd.DataFrame  # of `bootstrap_curve`, with share, range in ties: tied_*
    orders: pd.DataFrame  # of `random_order_null`, with share
    rules: pd.DataFrame  # rows of the curve, Steiger's pairs_p
    splits: pd.DataFrame  # of `nested_choice`
    gain: np.ndarray  # (4,) of `nested_choice`: value, low, high, p
    reliability: float  # of the judgments, NaN where raters are not known
    left_out: np.ndarray  # (4,) undefined judgments, resamples, random orders, splits
    null: pd.DataFrame = field(default_factory=pd.DataFrame)  # of `in_random_orders`

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
    n_null: int = 0,
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
    n_null : random orders for which rules and choice of a size are analysed as well.
    reliability : of the judgments, carried along.
    """
    poz = sparsity.percentage_of_zeros(embeddings)
    n, order, kept = len(poz), sparsity.poz_order(poz), sparsity.rules(poz)
    sizes = np.union1d(inference.spaced_sizes(n), [k for k in kept.values() if k])
    given = inference.prepare(embeddings, order, human, sizes, similarity)
    fewer = replace(given, sizes=inference.spaced_sizes(n, 50))
    every = replace(given, sizes=np.arange(1, n + 1))
    curve = inference.bootstrap_curve(given, n_resamples=n_resamples, rng=rng)
    orders = inference.random_order_null(fewer, n_orders=n_orders, rng=rng).curve
    splits, gain = inference.nested_choice(given, n_repeats=n_repeats, rng=rng)
    tied = given.order_r2([sparsity.poz_order(poz, rng=rng) for _ in range(n_ties)])
    ties = {"tied_low": tied.min(axis=0), "tied_high": tied.max(axis=0)}
    left_out = [
        np.isnan(given.human).sum(),
        curve.pop("n_undefined").max(),
        orders["n_undefined"].max(),
        splits.isna().any(axis=1).sum(),
    ]
    return Prediction(
        name=name,
        n_images=len(given.embeddings),
        poz=poz,
        r2=every.order_r2([order])[0],
        curve=curve.assign(share=sizes / n, **ties),
        orders=orders.assign(share=fewer.sizes / n),
        rules=_of_rules(given, curve, kept),
        splits=splits,
        gain=gain,
        reliability=reliability,
        left_out=np.array(left_out),
        null=in_random_orders(given, kept, rng, n_null, n_resamples, n_repeats),
    )


def in_random_orders(
    given: inference.Prepared,
    kept: Mapping[str, int],
    rng: np.random.Generator,
    n_orders: int,
    n_resamples: int = 1000,
    n_repeats: int = 20,
) -> pd.DataFrame:
    """What the claims ask, for as many features in random orders: a row per order.

    ``kept`` are the numbers of features that the rules keep. Columns as `effects`,
    without the set: rule90, rule20, fifth and gain, with _low and _high.
    """
    sizes = np.array(list(kept.values()))
    rows = []
    for _ in range(n_orders):
        order = rng.permutation(len(given.order))
        drawn = replace(given, order=order, sizes=np.unique(sizes[sizes > 0]))
        curve = inference.bootstrap_curve(drawn, n_resamples=n_resamples, rng=rng)
        drawn = replace(given, order=order)
        gain = inference.nested_choice(drawn, n_repeats=n_repeats, rng=rng)[1]
        rows.append(_effects(curve.reindex(sizes), gain).stack())
    if not rows:
        return pd.DataFrame()
    null = pd.DataFrame(rows).rename_axis("order")
    names = (f"{what}_{end}".removesuffix("_value") for what, end in null.columns)
    return null.set_axis(list(names), axis=1)


def _effects(rules: pd.DataFrame, gain: np.ndarray) -> pd.DataFrame:
    """Numbers behind claims (rows) and their value, low and high; see `effects`."""
    change = rules[["difference", "difference_low", "difference_high"]].to_numpy()
    ratio = rules[["ratio", "ratio_low", "ratio_high"]].to_numpy()
    rows = {"rule90": change[1], "rule20": change[2], "fifth": ratio[2]}
    rows["gain"] = gain[:3]
    return pd.DataFrame(rows, index=["value", "low", "high"]).T


def _of_rules(
    given: inference.Prepared, curve: pd.DataFrame, kept: dict[str, int]
) -> pd.DataFrame:
    """Rows of the curve for each rule; NaN where a rule keeps no feature."""
    sizes = np.array(list(kept.values()))
    at = np.searchsorted(given.sizes, np.maximum(sizes, given.sizes[0]))
    human = given.human[given.judged]
    r = np.corrcoef([human, *given.similarities[[*at, -1]]])
    correlations = r[0, 1:-1], r[0, -1], r[-1, 1:-1]
    pairs_p = significance.steiger_p(*correlations, len(human))
    frame = curve.iloc[at].assign(pairs_p=pairs_p)
    frame.loc[sizes == 0] = np.nan
    frame.index = pd.Index(kept, name="rule")
    return frame.assign(size=sizes, share=sizes / len(given.order))


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
    tables = {key: _effects(p.rules, p.gain) for key, p in predictions.items()}
    table = pd.concat(tables).swaplevel()
    return table.set_axis(table.index.map("_".join))


def effects_by_chance(predictions: Mapping[str, Prediction]) -> dict[str, np.ndarray]:
    """`effects` for random orders, (n_orders, 3) each, where these were analysed."""
    draws = {}
    for key, p in predictions.items():
        for what in p.null.columns[::3]:
            ends = [what, f"{what}_low", f"{what}_high"]
            draws[f"{what}_{key}"] = p.null[ends].to_numpy()
    return draws


def adjusted(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """p adjusted over the sets by Holm: a row per set, a column per rule and "gain"."""
    rules = pd.DataFrame({key: p.rules["p"] for key, p in predictions.items()}).T
    p = rules.assign(gain=[p.gain[3] for p in predictions.values()])
    return p.apply(significance.holm)


def set_table(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """The sets, their network and their judgments, as text: a column per set."""
    table = {}
    for p in predictions.values():
        full, best = p.r2[-1], np.nanmax(p.r2)
        undefined = ", ".join(map(str, p.left_out[1:]))
        explainable = full / p.reliability
        table[p.name] = {
            "images": p.n_images,
            "nodes": f"{p.n_features:,}",
            "PoZ > 80 %": f"{(p.poz > 0.8).mean():.1%}",
            "ghosts": int((p.poz == 1).sum()),
            "R², all nodes": f"{full:.3f}",
            "largest R²": f"{best:.3f} (at {p.best_size / p.n_features:.0%})",
            "nodes for 95 % of the full R²": f"{p.enough:.1%}",
            "resamples, orders, splits left out as undefined": undefined,
            "reliability of the judgments": f"{p.reliability:.3f}",
            "share of the explainable variance, all nodes": f"{explainable:.0%}",
        }
    return pd.DataFrame(table).replace(["nan", "nan%"], "not known")


def rules_table(predictions: Mapping[str, Prediction]) -> pd.DataFrame:
    """What each rule changes in R2, as text: a row per set and rule."""
    names = {"calibrated_p": "calibrated p", "pairs_p": "p on pairs"}
    frame = gather(predictions, "rules").rename(columns=names)
    frame["Holm"] = adjusted(predictions).drop(columns="gain").to_numpy().ravel()
    change = "{difference:+.3f} ({difference_low:+.3f}, {difference_high:+.3f})"
    table = frame[["set", "rule"]].assign(kept=frame["share"].map("{:.0%}".format))
    table["change in R² (95 %)"] = [change.format(**row) for _, row in frame.iterrows()]
    for title in ("p", "Holm", "calibrated p", "p on pairs"):
        text = frame[title].map("{:.3f}".format)
        table[title] = text.mask(frame[title] < 0.001, "< 0.001")
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
