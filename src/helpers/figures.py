"""The book's figure style, and its figures. Each function draws arrays that are given to it; none computes a result.

Plots are drawn in dark ink on a transparent ground; in dark mode the page inverts their lightness
(book/_static/book.css).
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

PALETTE = sns.color_palette("colorblind")
COLOURS = {"lowest": PALETTE[0], "highest": PALETTE[3], "random": "0.45", "mnist": PALETTE[2], "cifar10": PALETTE[4]}
NAMES = {
    "mnist": "MNIST", "cifar10": "CIFAR-10", "lowest": "lowest PoZ first", "highest": "highest PoZ first",
    "random": "random order", "pearson": "Pearson", "cosine": "cosine", "euclidean": "minus Euclidean distance",
    "spearman": "Spearman", "pearson_squared": "Pearson, squared",
}  # fmt: skip
VERDICTS = {"holds": ("o", PALETTE[0]), "open": ("s", PALETTE[1]), "fails": ("X", PALETTE[3])}
"""Marker and colour of a row's verdict."""
WIDTH = 7.2
"""Page width in inches."""


def use_style() -> None:
    """Set the book's style; call once at the top of a notebook."""
    sns.set_theme(
        context="notebook", style="ticks", palette="colorblind", font_scale=0.95,
        rc={"axes.spines.top": False, "axes.spines.right": False, "figure.constrained_layout.use": True,
            "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none", "legend.frameon": False,
            "axes.titlelocation": "left", "axes.titleweight": "bold", "axes.titlesize": "medium", "figure.dpi": 110},
    )  # fmt: skip
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # in the browser there is no inline backend
        return
    set_matplotlib_formats("retina")


def panels(n_columns: int, n_rows: int = 1, height: float = 2.9, **options) -> np.ndarray:
    """Axes of a figure of page width, (n_rows, n_columns)."""
    _, axes = plt.subplots(n_rows, n_columns, figsize=(WIDTH, height * n_rows), squeeze=False, **options)
    return axes


def poz_distribution(
    ax: Axes, pozs: np.ndarray, colour, label: str, cumulative: bool = False, n_bins: int = 20
) -> Axes:
    """Share of nodes per bin of PoZ, or up to each PoZ; mean (line) and SD (band) over models.

    ``pozs`` is (n_models, n_features) in [0, 1].
    """
    edges = np.linspace(0, 1, (100 if cumulative else n_bins) + 1)
    counts = np.stack([np.histogram(poz, edges)[0] for poz in pozs]) / pozs.shape[1]
    if cumulative:
        shares = np.hstack([np.zeros((len(pozs), 1)), counts.cumsum(axis=1)])
        band(ax, edges, shares, colour, label)
    else:
        ax.stairs(counts.mean(axis=0), edges, color=colour, fill=True, alpha=0.35)
        ax.stairs(counts.mean(axis=0), edges, color=colour, linewidth=1.6, label=label)
        if len(pozs) > 1:
            centres = (edges[1:] + edges[:-1]) / 2
            ax.errorbar(
                centres, counts.mean(axis=0), counts.std(axis=0, ddof=1), fmt="none", ecolor=colour, elinewidth=1
            )
    ax.set(xlabel="PoZ (share of images with output zero)", xlim=(0, 1), ylim=(0, 1.02 if cumulative else None))
    ax.set_ylabel("share of nodes up to this PoZ" if cumulative else "share of nodes")
    percent(ax, "xy")
    return ax


def band(ax: Axes, x: np.ndarray, curves: np.ndarray, colour, label: str, **line) -> Axes:
    """Mean (line) and SD (band) of ``curves`` (n_models, n_points), over the models where they are defined.

    The line begins where at least half of the models are defined.
    """
    defined = (~np.isnan(curves)).sum(axis=0)
    shown = np.where(defined >= max(1, len(curves) / 2), curves, np.nan)
    mean, sd = _mean_sd(shown)
    ax.plot(x, mean, color=colour, label=label, **({"linewidth": 2} | line))
    ax.fill_between(x, mean - sd, np.minimum(mean + sd, 1), color=colour, alpha=0.2, linewidth=0)
    return ax


def _mean_sd(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = (~np.isnan(curves)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(curves, axis=0) / np.where(n, n, np.nan)
        sd = np.sqrt(np.nansum((curves - mean) ** 2, axis=0) / np.where(n > 1, n - 1, np.nan))
    return mean, sd


def insertion(ax: Axes, sizes: np.ndarray, curves: dict[str, np.ndarray], title: str = "") -> Axes:
    """R2 with the full similarity matrix against the share of nodes inserted, one band per order of insertion.

    ``curves`` maps "lowest", "highest", "random" to (n_models, n_sizes).
    """
    for name, values in curves.items():
        band(ax, sizes / sizes[-1], values, COLOURS[name], NAMES[name], linestyle="--" if name == "random" else "-")
    ax.set(xlabel="share of nodes inserted", ylabel="R² with the full matrix", xlim=(0, 1), ylim=(0, 1.02), title=title)
    percent(ax, "x")
    return ax


def undefined_items(ax: Axes, sizes: np.ndarray, n_undefined: dict[str, np.ndarray], n_items: int) -> Axes:
    """Share of items without a defined similarity against the share of nodes inserted; arguments as `insertion`."""
    for name, values in n_undefined.items():
        band(
            ax,
            sizes / sizes[-1],
            values / n_items,
            COLOURS[name],
            NAMES[name],
            linestyle="--" if name == "random" else "-",
        )
    ax.set(xlabel="share of nodes inserted", ylabel="items undefined", xlim=(0, 1), ylim=(0, 1.02))
    percent(ax, "xy")
    return ax


def silent_nodes(ax: Axes, n_added: np.ndarray, similarities: np.ndarray, pairs: list[str], title: str) -> Axes:
    """Similarity of each pair (rows of ``similarities``, (n_pairs, n_added)) as silent nodes are added."""
    for values, pair, colour, style in zip(similarities, pairs, PALETTE, ("-", "--", ":"), strict=False):
        ax.plot(n_added, values, color=colour, linestyle=style, linewidth=2, label=pair)
    ax.set(xlabel="silent nodes added", ylabel="similarity", title=title)
    ax.set_xscale("symlog", linthresh=1)
    ticks = [n for n in (0, 1, 3, 10, 30, 100, 300, 1000) if n <= n_added[-1]]
    ax.set(xlim=(n_added[0], n_added[-1]), xticks=ticks, xticklabels=map(str, ticks))
    return ax


def matrix(ax: Axes, values: np.ndarray, labels: list[str], title: str, limits: tuple[float, float] = (-1, 1)) -> Axes:
    """A similarity matrix as a heat map with its numbers."""
    sns.heatmap(
        values, ax=ax, vmin=limits[0], vmax=limits[1], cmap="vlag", annot=len(values) <= 6, fmt=".2f", square=True,
        xticklabels=labels, yticklabels=labels, cbar=False, linewidths=0.5,
    )  # fmt: skip
    ax.set_title(title)
    return ax


def legend_above(ax: Axes, n_columns: int) -> None:
    """The legend of one panel, above all panels of its figure."""
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=n_columns, fontsize="small")


def percent(ax: Axes, axes: str) -> None:
    """Show the named axes ("x", "y" or "xy") in percent."""
    for name in axes:
        getattr(ax, f"{name}axis").set_major_formatter(PercentFormatter(1, decimals=0))


def thumbnails(images: np.ndarray) -> None:
    """A row of images (n, height, width, 3) across the page."""
    for ax, image in zip(panels(len(images), height=WIDTH / len(images) * 1.1)[0], images, strict=True):
        ax.imshow(image)
        ax.axis("off")


def human_curve(ax: Axes, prediction, title: str) -> Axes:
    """R2 with human judgments against the share of nodes inserted, of a `helpers.prediction.Prediction`, with bands."""
    p, n = prediction, prediction.n_features
    ax.fill_between(p.null_sizes / n, *p.null, color=COLOURS["random"], alpha=0.3, linewidth=0, label="random orders")
    ax.fill_between(p.sizes / n, *p.band, color=COLOURS["lowest"], alpha=0.2, linewidth=0, label="95 % over images")
    ax.plot(np.arange(1, n + 1) / n, p.curve, color=COLOURS["lowest"], linewidth=1.8, label="lowest PoZ first")
    ax.axhline(p.curve[-1], color="0.35", linestyle=":", linewidth=1.2, label="all nodes")
    ax.plot(p.best_size / n, p.curve[p.best_size - 1], "o", color=COLOURS["highest"], label="largest", zorder=4)
    ax.set(xlabel="share of nodes inserted", ylabel="R² with judgments", title=title, xlim=(0, 1.01))
    ax.set_ylim(bottom=0)
    percent(ax, "x")
    return ax


def difference_curve(ax: Axes, prediction, title: str) -> Axes:
    """Difference in R2 from all nodes, with its pointwise and simultaneous bands, of a `Prediction`."""
    p, share = prediction, prediction.sizes / prediction.n_features
    ax.fill_between(
        share, *p.simultaneous_band, color=COLOURS["lowest"], alpha=0.15, linewidth=0, label="all sizes at once"
    )
    ax.fill_between(share, *p.difference_band, color=COLOURS["lowest"], alpha=0.3, linewidth=0, label="each size")
    ax.plot(share, p.difference, color=COLOURS["lowest"], linewidth=1.8)
    ax.axhline(0, color="0.35", linestyle=":", linewidth=1.2)
    ax.set(
        xlabel="share of nodes inserted", ylabel="R² minus R² of all", title=title, xlim=(0, 1.01), ylim=(-0.15, 0.15)
    )
    percent(ax, "x")
    return ax


def rule_differences(ax: Axes, predictions: dict, labels: dict[str, str]) -> Axes:
    """Difference in R2 from all nodes under each rule, one row per rule and set, with 95 % intervals."""
    names = list(next(iter(predictions.values())).rules)
    for s, (key, p) in enumerate(predictions.items()):
        y = np.arange(len(names)) + (s - (len(predictions) - 1) / 2) * 0.18
        error = np.abs(p.rule_band - p.rule_difference)
        ax.errorbar(p.rule_difference, y, xerr=error, fmt="osD^"[s % 4], color=PALETTE[s], label=labels[key], capsize=2)
    ax.axvline(0, color="0.35", linestyle=":", linewidth=1.2)
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel="R² minus R² of all nodes")
    ax.invert_yaxis()
    ax.legend(fontsize="small")
    return ax


def false_alarms(
    ax: Axes, tests: list[str], rates: np.ndarray, intervals: np.ndarray, labels: list[str], here: np.ndarray,
    here_interval: np.ndarray,
) -> Axes:  # fmt: skip
    """Rate of false alarms per test, ``rates`` (n_conditions, n_tests) as recorded and as simulated here."""
    rows = [
        *zip(rates, intervals, labels, "osD", PALETTE, strict=False),
        (here, here_interval, "on this page", "x", "0.3"),
    ]
    for i, (rate, interval, label, marker, colour) in enumerate(rows):
        y = np.arange(len(tests)) + (i - (len(rows) - 1) / 2) * 0.18
        ax.errorbar(rate, y, xerr=np.abs(interval.T - rate), fmt=marker, color=colour, label=label, capsize=2)
    ax.axvline(0.05, color="0.35", linestyle=":", linewidth=1.2)
    ax.set(yticks=range(len(tests)), yticklabels=tests, xlabel="false alarms (dotted: promised)", xlim=(0, None))
    ax.invert_yaxis()
    percent(ax, "x")
    ax.legend(fontsize="small", loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return ax


def brain_curves(ax: Axes, share: np.ndarray, curves: np.ndarray) -> Axes:
    """R2 with each session's fMRI similarities (rows but the last) and with their mean (last row)."""
    ax.plot(share, curves[:-1].T, color=PALETTE[2], linewidth=1)
    ax.plot(share, curves[-1], color=PALETTE[2], linewidth=2.6, label="average of the sessions")
    ax.plot([], [], color=PALETTE[2], linewidth=1, label="single sessions")
    ax.set(xlabel="share of nodes inserted", ylabel="R² with fMRI", xlim=(0, 1.01))
    ax.set_ylim(bottom=0)
    percent(ax, "x")
    ax.legend(fontsize="small")
    return ax


def claim_rows(ax: Axes, rows: pd.DataFrame, limits: tuple[float, float]) -> Axes:
    """Rows of claims (`helpers.claims.rows`): what each asks (grey), the paper's number and what is found here.

    Bounds that are open end at ``limits``, the range of the axis. Rows without a value say so at its left end.
    """
    low, high = rows["at_least"].fillna(limits[0]), rows["at_most"].fillna(limits[1])
    y = np.arange(len(rows))
    ax.barh(y, high - low, left=low, height=0.8, color="0.88", label="what the claim asks")
    paper = pd.to_numeric(rows["paper"], errors="coerce")
    ax.plot(paper, y, "D", color="0.35", markersize=5, label="the paper")
    for verdict, (marker, colour) in VERDICTS.items():
        some = (rows["verdict"] == verdict).to_numpy()
        value, low, high = rows.loc[some, ["value", "low", "high"]].to_numpy().T
        error = [value - low, high - value]
        ax.errorbar(value, y[some], xerr=error, fmt=marker, color=colour, label=f"here: {verdict}")
    for position in y[(rows["verdict"] == "undefined").to_numpy()]:
        ax.text(limits[0], position, "  undefined", va="center", fontsize="x-small")
    ax.set(yticks=y, yticklabels=rows["claim"] + "  " + rows["short"], xlim=limits, ylim=(len(rows) - 0.4, -0.6))
    return ax


def choices(ax: Axes, table: pd.DataFrame, bar: float, title: str) -> Axes:
    """R2 under every combination of choices: a row per similarity, a mark per kind of item and source of the PoZ.

    ``table`` has the columns "similarity", "items", "PoZ from", "R2", "low" and "high"; ``bar`` is what the claim asks.
    """
    rows = list(dict.fromkeys(table["similarity"]))
    for k, ((items, source), some) in enumerate(table.groupby(["items", "PoZ from"], sort=False)):
        y = np.array([rows.index(name) for name in some["similarity"]]) + 0.19 * (k - 1.5)
        error = np.abs(some[["low", "high"]].to_numpy().T - some["R2"].to_numpy())
        colour, face = PALETTE[k // 2], {"markerfacecolor": "none"} if k % 2 else {}
        label = f"{items}, PoZ from {source}"
        ax.errorbar(some["R2"], y, xerr=error, fmt="os"[k // 2], color=colour, label=label, markersize=5, **face)
    ax.axvline(bar, color="0.35", linestyle=":", linewidth=1.2)
    ax.set(yticks=range(len(rows)), yticklabels=rows, xlabel="R²", title=title)
    return ax
