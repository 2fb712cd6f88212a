"""Figures of the section on ghost features, in the style of `helpers.figures`. Each draws what it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from helpers.figures import COLOURS, PALETTE, WIDTH, band
from helpers.ghosts import Enrichment
from helpers.retrieval import GRID, RANKINGS, NegativeQuery

RANKING_COLOURS = dict(zip(RANKINGS, (PALETTE[3], PALETTE[1], PALETTE[0], PALETTE[9], PALETTE[2], "0.55"), strict=True))


def rows_of_images(rows: Mapping[str, Sequence[np.ndarray]], gap_after_first: bool = False) -> None:
    """Rows of images (each height, width, 3, of any size), as many in each row, labelled on the left."""
    n = len(next(iter(rows.values())))
    tops = [i + (0.35 if gap_after_first and i else 0) for i in range(len(rows))]
    _, ax = plt.subplots(figsize=(WIDTH, (WIDTH - 1.2) / n * (tops[-1] + 1) + 0.1))
    for top, images in zip(tops, rows.values(), strict=True):
        for column, image in enumerate(images):
            ax.imshow(image, extent=(column + 0.03, column + 0.97, top + 0.97, top + 0.03))
    ax.set(xlim=(0, n), ylim=(tops[-1] + 1, 0), xticks=[], yticks=[top + 0.5 for top in tops], yticklabels=list(rows))
    ax.tick_params(length=0)
    sns.despine(ax=ax, left=True, bottom=True)
    ax.set_aspect("equal")


def counts_and_chance(ax: Axes, counts: Mapping[str, tuple[float, np.ndarray]]) -> Axes:
    """Number of ghosts of each set (dot) and where 95 % of random sets of its size lie (bar; tick: their mean).

    ``counts`` maps a set to its number and those of random sets (n_random,).
    """
    for y, (count, random) in enumerate(counts.values()):
        low, high = np.quantile(random, [0.025, 0.975])
        ax.barh(
            y,
            high - low,
            left=low,
            height=0.5,
            color=COLOURS["random"],
            alpha=0.35,
            label="random sets" if not y else "",
        )
        ax.plot([random.mean()] * 2, [y - 0.25, y + 0.25], color="0.35", linewidth=1.2)
        ax.plot(count, y, "o", color=COLOURS["highest"], label="this set" if not y else "")
    ax.set(yticks=range(len(counts)), yticklabels=list(counts), xlabel="ghost features", xlim=(0, None))
    ax.invert_yaxis()
    ax.legend(fontsize="small", loc="upper right")
    return ax


def overlaps(ax: Axes, overlap: np.ndarray, chance: np.ndarray, labels: Sequence[str], title: str) -> Axes:
    """Jaccard overlap of sets' ghosts (S, S), below the diagonal, with its mean over random sets above it."""
    own = np.eye(len(overlap), dtype=bool)
    shown = np.where(np.tri(len(overlap), k=-1, dtype=bool), overlap, chance)
    sns.heatmap(
        shown, ax=ax, mask=own, vmin=0, vmax=max(0.4, np.nanmax(shown[~own])), cmap="crest", annot=True, fmt=".2f",
        square=True, xticklabels=labels, yticklabels=labels, cbar=False, linewidths=1,
    )  # fmt: skip
    ax.set_title(title)
    ax.tick_params(length=0)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right")
    plt.setp(ax.get_yticklabels(), rotation=0)
    return ax


def components(ax: Axes, explained: np.ndarray, cosine: np.ndarray, shuffled: np.ndarray, title: str) -> Axes:
    """Share of variance of each component (bars) and its stability (lines: mean and SD over splits of the corpus).

    ``explained`` (k,); ``cosine`` and ``shuffled`` (n_splits, k).
    """
    number = np.arange(1, len(explained) + 1)
    ax.bar(number, explained, color="0.75", width=0.7, label="variance explained")
    band(ax, number, cosine, COLOURS["lowest"], "agreement of halves", marker="o", markersize=4)
    band(ax, number, shuffled, COLOURS["random"], "features shuffled", linestyle="--")
    ax.set(xlabel="component", ylabel="share of variance; cosine", title=title, ylim=(0, 1.02), xticks=number)
    return ax


def enrichment(ax: Axes, found: Enrichment, title: str) -> Axes:
    """How many of each component's top images have each label; framed: more than by chance (Holm, 5 %)."""
    k = len(found.count)
    sns.heatmap(
        found.count, ax=ax, vmin=0, vmax=found.n_top, cmap="rocket_r", annot=True, fmt=".0f", cbar=False,
        linewidths=0.5, annot_kws={"fontsize": "small"}, xticklabels=[str(label) for label in found.labels],
        yticklabels=[f"PC {i}" for i in range(1, k + 1)],
    )  # fmt: skip
    for row, column in np.argwhere(found.adjusted_p < 0.05):
        ax.add_patch(
            plt.Rectangle((column + 0.04, row + 0.06), 0.92, 0.88, fill=False, edgecolor=PALETTE[0], linewidth=2)
        )
    ax.set_title(title)
    ax.tick_params(length=0)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right")
    plt.setp(ax.get_yticklabels(), rotation=0)
    return ax


def query_curves(axes: Sequence[Axes], query: NegativeQuery, title: str, shown: Sequence[str] = RANKINGS) -> None:
    """ROC and precision-recall curves of the rankings ``shown``; 95 % band of the first."""
    for name in shown:
        i, style = query.names.index(name), "--" if name == "random order" else "-"
        for ax, curve, interval in ((axes[0], query.roc, query.roc_band), (axes[1], query.pr, query.pr_band)):
            ax.plot(GRID, curve[i], color=RANKING_COLOURS[name], linestyle=style, linewidth=1.7, label=name)
            if name == shown[0]:
                ax.fill_between(GRID, *interval[:, i], color=RANKING_COLOURS[name], alpha=0.2, linewidth=0)
    axes[0].set(xlabel="false alarm rate", ylabel="hit rate", title=title, xlim=(0, 1), ylim=(0, 1.02))
    axes[1].set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))


def query_areas(ax: Axes, queries: Mapping[str, NegativeQuery]) -> Axes:
    """Area under the ROC curve of each ranking but the random one, with 95 % intervals over images, a row per query."""
    names = [name for name in next(iter(queries.values())).names if name != "random order"]
    for i, name in enumerate(names):
        y = np.arange(len(queries)) + (i - (len(names) - 1) / 2) * 0.13
        value = np.array([query.auc[i] for query in queries.values()])
        ends = np.array([query.auc_band[:, i] for query in queries.values()]).T
        error = np.maximum(np.abs(ends - value), 0)
        ax.errorbar(value, y, xerr=error, fmt="oDs^vx"[i % 6], color=RANKING_COLOURS[name], label=name, markersize=5)
    ax.axvline(0.5, color="0.35", linestyle=":", linewidth=1.2)
    ax.set(yticks=range(len(queries)), yticklabels=list(queries), xlabel="area under the ROC curve", xlim=(None, 1.005))
    ax.invert_yaxis()
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def responses(ax: Axes, response: np.ndarray, labels: Sequence[str], title: str) -> Axes:
    """Activation on the ghosts of each class (rows) by images of each class (columns), as a share of all activity."""
    sns.heatmap(
        response, ax=ax, vmin=0, cmap="rocket_r", square=True, xticklabels=labels, yticklabels=labels,
        cbar_kws={"shrink": 0.7, "format": lambda value, _: f"{value:.1%}"},
    )  # fmt: skip
    ax.set(title=title, xlabel="images of", ylabel="ghosts of")
    ax.tick_params(length=0)
    plt.setp(ax.get_xticklabels(), rotation=60, ha="right")
    plt.setp(ax.get_yticklabels(), rotation=0)
    return ax
