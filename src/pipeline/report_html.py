"""The report of ``make report``: one HTML file that needs nothing else.

Figures are pictures in the file; tables and numbers can be saved from it as CSV and
JSON. It contains no script and asks a browser to load nothing, so that a name in a
reader's data can neither run nor fetch anything.
"""

from __future__ import annotations

import base64
import html
import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers import data, figures
from pipeline import inputs, manifest, own_network, report, report_figures
from pipeline.own_network import Analysis, Settings

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto;
  padding: 0 1rem; color: #1a1a1a; background: #fff }
h1, h2 { line-height: 1.2 } h2 { margin-top: 2.5rem }
img { max-width: 100%; height: auto } figure { margin: 1rem 0; overflow-x: auto }
figcaption { font-size: .9rem; color: #444 }
table { border-collapse: collapse; font-size: .9rem }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .6rem; text-align: right }
th:first-child, td:first-child { text-align: left }
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
CAPTIONS = {
    "poz": "Share of nodes by PoZ, the share of images for which a node is zero. Dead "
    "nodes are set apart on the right.",
    "curves": "R² as nodes are inserted by PoZ or in random order. Bands: 95 % over "
    "images, and over random orders.",
    "rules": "Change by each rule under every similarity, compared by R² and "
    "Spearman's rho, with 95 % intervals over images. The dotted line is no change.",
}


# ------------------------------------------------------------------------------ command
def main(
    command: str,
    activations: Path | None = None,
    reference: Path | None = None,
    labels: Path | None = None,
    target: Path | None = None,
    **options,
) -> None:
    """The command: analyse files and write the report.

    ``options`` are the further arguments of `inputs.load` and the fields of `Settings`.
    Whatever is wrong ends the program with one sentence.
    """
    names = "reference_kind", "array", "reference_array"
    about = {name: options.pop(name) for name in names}
    paths = [path or "" for path in (activations, reference, labels)]
    stem = activations.stem if activations else "example"
    target = target or Path("_build", "reports", f"{stem}.html")
    try:
        write(inputs.load(*paths, **about), Settings(**options), target, command)
    except (ValueError, OSError) as error:
        sys.exit(f"There is no report: {error}")
    print(f"The report is {target}")


def write(given: inputs.Inputs, settings: Settings, target: Path, command: str) -> None:
    """Analyse what was read and write the report in one step."""
    start = time.perf_counter()
    analysis = own_network.analyse(given.values, given.raters, settings)
    figures.use_style()
    about = provenance(given, analysis, command, time.perf_counter() - start)
    with manifest.atomic(Path(target).resolve()) as file:
        file.write_text(document(given, analysis, about), "utf-8")


def provenance(
    given: inputs.Inputs, analysis: Analysis, command: str, seconds: float
) -> dict[str, str]:
    """What the numbers depend on, as text."""
    settings = vars(analysis.settings)
    return {
        "command": command,
        **given.files,
        "settings": ", ".join(f"{name} {value}" for name, value in settings.items()),
        "versions": ", ".join(f"{k} {v}" for k, v in data.versions().items()),
        "code": f"sha256 {data.code_hash()[:12]}",
        "machine": data.machine(),
        "time": f"{seconds:.0f} s",
    }


# ----------------------------------------------------------------------------- document
def document(given: inputs.Inputs, a: Analysis, about: dict[str, str]) -> str:
    """The whole file."""
    title = f"Rarely-firing nodes: {given.name}"
    parts = [
        sentences(report.on_data(a, given.name, given.labels)),
        heading("How often the nodes fire"),
        sentences(report.on_poz(a)),
        *shown("poz", a.zeros.histogram(), a, alt_of_poz(a)),
        table(report_figures.kinds_table(a)),
        heading("Inserting nodes by PoZ"),
        sentences(report.on_curves(a)),
        *shown("curves", a.curves, a, "Lines that rise as nodes are inserted."),
        heading("Three rules, fixed beforehand"),
        sentences(report.on_rules(a)),
        *shown("rules", a.rules, a, "Dots with intervals for each similarity."),
        table(report_figures.rules_table(a)),
        *on_raters(a),
        heading("How many images would be needed"),
        sentences(report.on_needed(a)),
        "" if a.needed.empty else table(report_figures.needed_table(a)),
        heading("Recommended use"),
        sentences(report.on_use(a)),
        heading("What this does not say"),
        sentences(report.caveats(a)),
        heading("Numbers and where they come from"),
        downloads(a, given, about),
        facts(about),
    ]
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>"
    )
    body = f"<body><main><h1>{html.escape(title)}</h1>{''.join(parts)}</main></body>"
    return head + body + "</html>\n"


def on_raters(a: Analysis) -> list[str]:
    """The section on raters, where there are several."""
    if not (said := report.on_raters(a)):
        return []
    return [heading("Raters"), sentences(said)]


def heading(text: str) -> str:
    return f"<h2>{html.escape(text)}</h2>"


def sentences(said: Iterable[str]) -> str:
    """A list of sentences."""
    return "<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in said) + "</ul>"


def table(frame: pd.DataFrame) -> str:
    """A frame of texts and whole numbers; names are escaped."""
    frame = frame.rename_axis(columns=None)
    return f"<figure>{frame.reset_index().to_html(index=False, border=0)}</figure>"


def facts(about: dict[str, str]) -> str:
    """Provenance as a list."""
    rows = (
        f"<li><b>{html.escape(k)}:</b> {html.escape(v)}</li>" for k, v in about.items()
    )
    return f"<ul>{''.join(rows)}</ul>"


def alt_of_poz(a: Analysis) -> str:
    """What the histogram shows, in words."""
    return "Bars of the share of nodes by PoZ. " + report.on_poz(a)[0]


def shown(name: str, frame: pd.DataFrame, a: Analysis, alt: str) -> list[str]:
    """A figure, its caption, and the frame that it draws."""
    uri = f"data:image/png;base64,{encoded(picture(DRAWERS[name](a)))}"
    caption = f"{html.escape(CAPTIONS[name])} {link(name, frame)}"
    image = f'<img alt="{html.escape(alt)}" src="{uri}">'
    return [f"<figure>{image}<figcaption>{caption}</figcaption></figure>"]


def figure_of_poz(a: Analysis) -> Figure:
    ax = figures.panels(1)[0, 0]
    return report_figures.draw_poz(ax, a.zeros.histogram()).figure


def figure_of_curves(a: Analysis) -> Figure:
    return report_figures.draw_curves(figures.panels(1, height=3.4)[0, 0], a).figure


def figure_of_rules(a: Analysis) -> Figure:
    return report_figures.draw_rules(figures.panels(1, 3, height=2.1)[:, 0], a)[
        0
    ].figure


DRAWERS: dict[str, Callable[[Analysis], Figure]] = {
    "poz": figure_of_poz,
    "curves": figure_of_curves,
    "rules": figure_of_rules,
}


def picture(figure: Figure) -> bytes:
    """A figure as PNG, on white."""
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=150, facecolor="white")
    plt.close(figure)
    return target.getvalue()


# ---------------------------------------------------------------------------- downloads
def downloads(a: Analysis, given: inputs.Inputs, about: dict[str, str]) -> str:
    """Links that save the numbers."""
    text = json.dumps(numbers(a, given, about), indent=1)
    frames = {"nodes": a.nodes, "images-needed": a.needed, "new-raters": a.two_factor}
    links = [link(name, frame) for name, frame in frames.items() if len(frame)]
    links.append(saved("report.json", "application/json", text, "everything as JSON"))
    return f"<p>{' · '.join(links)}</p>"


def numbers(a: Analysis, given: inputs.Inputs, about: dict[str, str]) -> dict:
    """All numbers but those per node, for JSON: NaN is null."""
    frames = {"curves": a.curves, "rules": a.rules, "images_needed": a.needed}
    frames |= {"poz": a.zeros.histogram(), "new_raters": a.two_factor}
    records = {k: json.loads(f.to_json(orient="records")) for k, f in frames.items()}
    kinds = {
        kind: int((a.zeros.kinds == kind).sum()) for kind in ("dead", "rare", "live")
    }
    gain = dict(zip(("value", "low", "high", "p"), a.gain.tolist(), strict=True))
    gain = {k: v if np.isfinite(v) else None for k, v in gain.items()}
    used = [str(given.labels[i]) for i in a.images]
    return {
        "provenance": about,
        "n_images": a.zeros.n_images,
        "n_nodes": len(a.nodes),
        "nodes": kinds,
        "images_used": used,
        "all_nodes": json.loads(a.levels.to_json()),
        "gain_of_a_chosen_size": gain,
        **records,
    }


def link(name: str, frame: pd.DataFrame) -> str:
    """A link that saves a frame as CSV."""
    text = frame.to_csv(index=False, float_format="%.6g")
    return saved(f"{name}.csv", "text/csv", text, f"{name} as CSV")


def saved(file: str, mime: str, text: str, label: str) -> str:
    uri = f"data:{mime};base64,{encoded(text.encode())}"
    return f'<a download="{html.escape(file)}" href="{uri}">{html.escape(label)}</a>'


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
