"""What an analysis of a reader's own network says, in words.

Sentences follow from the numbers of `pipeline.own_network` alone; page 09 and
``make report`` show the same ones. Figures and tables: `pipeline.report_figures`.
"""

from __future__ import annotations

import html
import re

import numpy as np
import pandas as pd

from helpers import figures
from pipeline import own_network
from pipeline.own_network import PRIMARY, Analysis

VERDICTS = {
    "clear improvement": "predicts clearly better",
    "clear loss": "predicts clearly worse",
    "neither": "makes no clear difference",
    "keeps the geometry": "keeps the geometry",
    "changes the geometry": "changes the geometry",
    "undecided": "may or may not keep the geometry",
    "undefined": "leaves an image without a similarity",
}
"""What a rule does, by its verdict."""
SHOWN = (0.1, 0.2, 0.5)
"""Shares of the nodes that sentences and tables quote from a curve."""


# ------------------------------------------------------------------------------ words
def show(said: list[str]) -> None:
    """Display sentences as a list in a notebook. Names from files stay mere text."""
    from IPython.display import Markdown, display

    plain = (re.sub(r"([\\`*_\[\]$|])", r"\\\1", html.escape(one)) for one in said)
    display(Markdown("\n".join(f"* {one}" for one in plain)))


def on_data(a: Analysis, name: str, labels) -> list[str]:
    """What was read, and what is left out."""
    n, n_nodes = a.zeros.n_images, len(a.zeros.poz)
    said = [f"{name}: {n:,} images, {n_nodes:,} nodes."]
    if a.has_reference:
        raters = "one matrix" if len(a.raters) == 1 else f"{len(a.raters)} raters"
        said.append(f"The reference is {raters} of judgments of the same images.")
    else:
        said.append(
            "There are no judgments, so the reference is the network's own similarity "
            "matrix from all nodes: R² says how much pruning changes it, not "
            "whether the change is for the better."
        )
    if len(a.images) + a.n_undefined < n:
        said.append(
            f"Zeros are counted over all images. Similarities, whose number grows with "
            f"the square of the number of images, are those of {len(a.images)} images "
            "drawn at random."
        )
    if a.n_undefined:
        names = ", ".join(str(labels[i])[:40] for i in a.zeros.silent_images[:10])
        said.append(
            f"{a.n_undefined} images activate no node, or all nodes alike; they have "
            f"no similarity to any other and are left out ({names or 'not silent'})."
        )
    return said


def on_poz(a: Analysis) -> list[str]:
    """The distribution of PoZ; dead against rare."""
    poz, kinds = a.zeros.poz, a.zeros.kinds
    n_dead, n_rare = (kinds == "dead").sum(), (kinds == "rare").sum()
    if poz.max() == 0:
        return [
            "No activation is zero, so PoZ says nothing about this layer. Either it "
            "has no ReLU, or values were averaged after it; take the ReLU itself."
        ]
    said = [
        f"The median PoZ is {np.median(poz):.0%}; {np.mean(poz > 0.8):.0%} of the "
        "nodes are silent for more than 80 % of the images.",
        f"{n_dead:,} nodes ({n_dead / len(poz):.1%}) are ghosts, dead here: silent for "
        f"every image. {n_rare:,} ({n_rare / len(poz):.1%}) are rare but live: silent "
        "for more than 90 % of the images, not for all.",
    ]
    if n_dead:
        said.append(
            f"Dead here need not mean dead: {a.zeros.n_images:,} images cannot tell a "
            f"dead node from one that fires for up to {a.zeros.largest_rate:.2%} of "
            "images like these (95 % bound)."
        )
    return said


def on_curves(a: Analysis) -> list[str]:
    """Insertion by PoZ against random orders."""
    target = "the judgments" if a.has_reference else "the full matrix"
    said = []
    for share in SHOWN:
        rows = curve_at(a, share)
        low, random = rows.loc["lowest"], rows.loc["random"]
        if np.isnan([low["value"], random["low"], random["high"]]).any():
            said.append(
                f"With {share:.0%} of the nodes, R² is undefined in some order."
            )
            continue
        inside = random["low"] <= low["value"] <= random["high"]
        above = low["value"] > random["high"]
        where = "within" if inside else "above" if above else "below"
        value = rows.loc["highest", "value"]
        other = f"reach {value:.3f}" if np.isfinite(value) else "leave it undefined"
        said.append(
            f"The {share:.0%} of the nodes with the lowest PoZ reach R² = "
            f"{low['value']:.3f} with {target}, {where} the range of 95 % of random "
            f"orders ({random['low']:.3f} to {random['high']:.3f}); those with the "
            f"highest PoZ {other}."
        )
    return said


def on_rules(a: Analysis) -> list[str]:
    """The three rules under the main similarity; a warning where measures differ."""
    rules = a.main.iterrows()
    said = [rule_in_words(row, a.has_reference, len(a.raters)) for _, row in rules]
    if not a.has_reference:
        said.insert(
            0,
            "A rule “keeps the geometry” where R² with the full matrix lies above "
            f"{own_network.KEPT_GEOMETRY:.2f} with its whole interval.",
        )
    if warning := on_measures(a):
        said.append(warning)
    return said


def rule_in_words(row: pd.Series, has_reference: bool, n_raters: int = 1) -> str:
    """One rule under one measure; a clear change holds for the raters asked."""
    rule = str(row["rule"]).replace("%", " %")
    kept = f"{row['kept']:,} nodes ({row['share']:.0%})"
    does = VERDICTS[row["verdict"]]
    if n_raters > 1 and row["verdict"].startswith("clear"):
        does += " for these raters"
    if row["share"] == 1:
        return f"“{rule}” drops nothing: all nodes stay."
    if np.isnan(row["change"]):
        return f"“{rule}” keeps {kept}; it {does}, so R² is undefined."
    if not has_reference:
        value, low, high = row["all"] + row[["change", "low", "high"]]
        return (
            f"“{rule}” keeps {kept} and {does}: R² with the full matrix is {value:.4f} "
            f"(95 % interval {low:.4f} to {high:.4f})."
        )
    return (
        f"“{rule}” keeps {kept} and {does}: R² changes from {row['all']:.3f} by "
        f"{row['change']:+.4f} (95 % interval {row['low']:+.4f} to {row['high']:+.4f})."
    )


def on_measures(a: Analysis) -> str:
    """A warning that names the rules whose verdict depends on the measure, or ""."""
    table = own_network.disagreements(a)
    parts = []
    for rule, counts in table.iterrows():
        found = counts[counts > 0]
        if len(found) > 1:
            listed = ", ".join(f"{n} × {verdict}" for verdict, n in found.items())
            parts.append(f"“{str(rule).replace('%', ' %')}”: {listed}")
    n = len(a.rules) // max(1, len(table))
    if not parts:
        return f"Every rule has the same verdict under all {n} measures."
    return (
        f"The conclusion changes with the measure ({n} were tried). {'; '.join(parts)}."
    )


def on_raters(a: Analysis) -> list[str]:
    """Ceilings, and the interval for new images and new raters."""
    if len(a.raters) < 2:
        return []
    levels, full = a.levels, a.levels["r"] ** 2
    if "reliability" not in levels:
        return ["Too few pairs were judged by all raters to say how well they agree."]
    said = [
        f"The mean of the {len(a.raters)} raters has a reliability of "
        f"{levels['reliability']:.3f}, which is the R² that a perfect model would "
        f"reach; all nodes reach {full:.3f}. For single raters the noise ceiling lies "
        f"between {levels['ceiling_low']:.3f} and {levels['ceiling_high']:.3f}."
    ]
    if a.two_factor.empty:
        said.append(
            "An interval for new raters needs three or more who judged every pair; the "
            "intervals here are for new images and the same raters."
        )
        return said
    both = a.two_factor[a.two_factor["similarity"] == a.settings.similarity]
    for row in both.dropna(subset="low").itertuples():
        clear = "clear" if row.low > 0 or row.high < 0 else "not clear"
        said.append(
            f"“{row.rule.replace('%', ' %')}”, for new images and new raters: "
            f"{row.change:+.4f} ({row.low:+.4f} to {row.high:+.4f}), {clear}."
        )
    return said


def on_needed(a: Analysis) -> list[str]:
    """How many images exclude an effect of a given size."""
    if not a.has_reference:
        return ["Without judgments, there is no change of a prediction to exclude."]
    said = []
    for rule, rows in a.needed.groupby("rule", sort=False):
        rows = rows.dropna()
        if rows.empty:
            continue
        sizes = "; ".join(
            f"{row.effect:.2f}: {enough(row.images, len(a.images))}"
            for row in rows.itertuples()
        )
        named = rule.replace("%", " %")
        said.append(f"“{named}”: images that exclude a change in R² of {sizes}.")
    if not said:
        return ["No rule has an interval from which to work this out."]
    said.append(
        "These are extrapolations: if the rule changes nothing, the 95 % interval lies "
        "within plus and minus that size with a chance of 80 %. They assume images "
        "like these and the same raters, and are rather too large than too small."
    )
    return said


def enough(n: float, n_used: int) -> str:
    """A number of images, to two digits, or that those here are enough."""
    if np.isnan(n):
        return "not known"
    if n <= n_used:
        return f"at most the {n_used} here"
    unit = 10 ** max(0, len(str(int(n))) - 2)
    return f"about {int(np.ceil(n / unit)) * unit:,}"


def on_use(a: Analysis) -> list[str]:
    """What to do with these nodes."""
    verdict = a.main.set_index("rule")["verdict"]
    drop = verdict["drop PoZ > 90%"]
    same = len(set(a.rules.loc[a.rules["rule"] == "drop PoZ > 90%", "verdict"])) == 1
    said = [on_ghosts(a)]
    if not a.has_reference:
        keeps = "keeps" if drop == "keeps the geometry" else "may not keep"
        said.append(
            f"Dropping nodes above a PoZ of 90 % {keeps} the similarity matrix. To "
            "learn whether that helps or harms, compare with judgments or brain data."
        )
    elif drop == "clear improvement":
        but = (
            "" if same else ", but not under every measure: report those where it fails"
        )
        said.append(f"Dropping nodes above a PoZ of 90 % helps here{but}.")
    elif drop == "clear loss":
        said.append("Keep rarely-firing nodes: leaving them out costs prediction here.")
    else:
        said.append(
            "There is no clear reason to drop rarely-firing nodes. That is not "
            "evidence that they do not matter: see how many images would be needed."
        )
    if np.isfinite(a.gain[0]):
        gain, low, high, _ = a.gain
        said.append(
            "Choosing the number of nodes on some images and scoring it on others "
            f"changes R² by {gain:+.4f} ({low:+.4f} to {high:+.4f}): "
            + ("worth it." if low > 0 else "do not pick it from the curve.")
        )
    return said


def on_ghosts(a: Analysis) -> str:
    """What to do about dead nodes."""
    if not (a.zeros.kinds == "dead").any():
        return "There are no ghosts, so nothing silent bends a correlation."
    rules = a.rules[a.rules["rule"] == "drop ghosts"]
    rules = rules[rules["comparator"] == PRIMARY]
    largest = (
        rules.loc[rules["change"].abs().idxmax()] if rules["change"].any() else None
    )
    tail = "none of the measures here notices them."
    if largest is not None:
        where = figures.NAMES.get(largest["similarity"], largest["similarity"])
        size = f"{largest['change']:+.4f} at most (under {where})"
        size = "less than 0.0001" if abs(largest["change"]) < 1e-4 else size
        tail = f"leaving them out changes R² by {size}."
    return (
        "Ghosts change correlations between images, but neither the cosine nor "
        f"distances. Say whether they were left out, or use the cosine; here, {tail}"
    )


def caveats(a: Analysis) -> list[str]:
    """What the numbers do not say."""
    said = [
        "PoZ belongs to a node and a set of images. It was counted over the images "
        "that are compared; counted over other images, rules remove other nodes.",
        "Intervals are for one rule and one measure, over images; with several rules "
        "and measures, some exclude zero by chance.",
    ]
    if a.levels["r"] < 0:
        said.insert(
            0,
            f"Network and reference are correlated negatively (r = "
            f"{a.levels['r']:.2f}). Check whether the reference holds dissimilarities; "
            "R² does not see the sign.",
        )
    if len(a.images) < 50:
        said.append(f"{len(a.images)} images are few: take every interval as rough.")
    n_undefined = int(a.rules["n_undefined"].max())
    if n_undefined:
        said.append(
            f"Up to {n_undefined} of {a.settings.n_resamples} resamples had no score "
            "and were left out."
        )
    return said


def curve_at(a: Analysis, share: float) -> pd.DataFrame:
    """Rows of the curves nearest to a share, by order."""
    distance = (a.curves["share"] - share).abs()
    nearest = a.curves.loc[distance.groupby(a.curves["order"]).idxmin()]
    return nearest.set_index("order")
