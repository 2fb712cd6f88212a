"""Answers a request of the page *Try your own* (own.js) inside its worker.

A request is JSON: names of files that the page has put beside it, and settings. The
answer is ``answer.json`` in the folder of answers, with the files that it names: a
.csv, a .png for what is drawn, and a notebook that does it again.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt

from helpers import data, figures
from pipeline import census, own_page
from pipeline.formats import Refused, first_line

TITLES = {
    "poz": "How often the nodes fire",
    "matrix": "Similarity matrix",
    "map": "Map of the images",
    "curves": "Insertion curves",
}
ALL, NOTEBOOK = "try_your_own.zip", "try_your_own.ipynb"


def answer(folder: str, out: str) -> None:
    """Answer the request in ``folder``, whose files are gone afterwards."""
    source, target = Path(folder), Path(out)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        made = respond(
            json.loads((source / "request.json").read_text()), source, target
        )
    except Refused as error:
        made = {"refused": str(error)}
    except Exception as error:  # noqa: BLE001 - the page says it in a sentence
        what = f"{type(error).__name__}: {first_line(error)}"
        made = {"refused": f"This could not be computed ({what})."}
    finally:
        plt.close("all")
        shutil.rmtree(source, ignore_errors=True)
    (target / "answer.json").write_text(json.dumps(made), "utf-8")


def respond(request: dict, source: Path, target: Path) -> dict:
    """Compute, and write the files; returns what the page shows."""
    hashes = {
        path.name: data.file_sha256(path)
        for path in sorted(source.rglob("*"))
        if path.is_file() and path.name != "request.json"
    }
    given = read(request, source)
    print("Computing similarities and curves")
    found = own_page.analyse(given, request["similarity"])
    print("Drawing")
    tables = own_page.frames(found)
    for name, frame in tables.items():
        frame.to_csv(target / f"{name}.csv", index=False)
    figures.use_style()
    drawn = own_page.draw(found, request["width"])
    shown = [figure(name, drawn[name], found, target) for name in TITLES]
    notebook = json.dumps(rerun(request, hashes), indent=1)
    (target / NOTEBOOK).write_text(notebook, "utf-8")
    pack(target)
    return {
        "sentences": own_page.sentences(found),
        "counts": counts(found),
        "figures": shown,
        "layers": rows(tables["layers"]) if "layers" in tables else None,
        "files": sorted(path.name for path in target.iterdir()),
    }


def read(request: dict, source: Path) -> own_page.Given:
    """What the request names: photographs, a file, or the book's example."""
    judged = {"reference": "", "reference_kind": "", "reference_array": ""}
    if request["reference"]:
        judged["reference"] = source / "judgments" / request["reference"]
        judged["reference_kind"] = request["kind"]
        judged["reference_array"] = request["reference_array"]
    if request["photographs"]:
        paths = [source / "given" / name for name in request["photographs"]]
        return own_page.see(paths, request["layer"], **judged)
    print("Reading")
    name = request["activations"]
    path = source / "given" / name if name else ""
    return own_page.load(path, array=request["array"], **judged)


def counts(found: own_page.Found) -> list[list]:
    """Dead, rare and live nodes: name, number, share."""
    kinds = found.analysis.zeros.kinds
    numbers = {kind: int((kinds == kind).sum()) for kind in census.KINDS}
    return [[kind, n, n / len(kinds)] for kind, n in numbers.items()]


def rows(frame) -> dict:
    """A frame for JSON."""
    return {"columns": list(frame), "rows": frame.to_numpy(object).tolist()}


def figure(name: str, drawn, found: own_page.Found, target: Path) -> dict:
    """Write a figure at twice its resolution; returns what the page says of it."""
    is_photo = name == "map" and found.given.pictures is not None
    ground = "none" if is_photo else "white"
    path = target / f"{name}.png"
    drawn.savefig(path, dpi=2 * drawn.dpi, bbox_inches="tight", facecolor=ground)
    width = int.from_bytes(path.read_bytes()[16:20], "big") // 2  # from the header
    caption, alt = words(name, found)
    about = {"name": name, "title": TITLES[name], "caption": caption, "alt": alt}
    return about | {"width": width, "kind": "photo" if is_photo else "plot"}


def words(name: str, found: own_page.Found) -> tuple[str, str]:
    """Caption and text for those who do not see the figure."""
    a, n = found.analysis, len(found.analysis.images)
    measure = figures.NAMES[a.settings.similarity]
    if name == "poz":
        listed = ", ".join(f"{share:.1%} {kind}" for kind, _, share in counts(found))
        caption = "Share of nodes by PoZ; nodes that are silent for every image apart."
        return caption, f"Bars: the share of nodes at each PoZ. {listed}."
    if name == "matrix":
        caption = (
            f"Similarity ({measure}) of {n} images over all nodes. The diagonal is "
            "blank; the darkest and lightest colours cover two percent of the pairs "
            "each."
        )
        return caption, f"A square of {n} by {n} colours, darker for more similar."
    if name == "map":
        caption = (
            "Classical multidimensional scaling: similar images lie close together, as "
            "far as two dimensions can show it."
        )
        return caption, f"A map of {n} images; their places are in the CSV file."
    target = "judgments" if a.has_reference else "the full matrix"
    caption = (
        f"R² with {target} as nodes enter. Bands: 95 % over images for the lowest PoZ "
        f"first ({a.settings.n_resamples} resamples), over {a.settings.n_orders} "
        "orders for the random ones."
    )
    return caption, "Three curves of R² by share of nodes: lowest, highest, random."


def pack(target: Path) -> None:
    """All files in one archive."""
    paths = sorted(target.iterdir())
    with zipfile.ZipFile(target / ALL, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, path.name)


# --------------------------------------------------------------------------- notebook
def rerun(request: dict, hashes: dict[str, str]) -> dict:
    """A notebook that computes the same from the same files."""
    about = (
        "# Try your own, again\n\n"
        "The same computation outside of the page. Put this notebook beside your files "
        "and open it with the environment of a clone of the book (make install)."
    )
    named = ("activations", "photographs", "layer", "array", "similarity")
    judged = {
        "reference": request["reference"],
        "reference_kind": request["kind"],
        "reference_array": request["reference_array"],
    }
    settings = {name: request[name] for name in named} | judged
    if not request["reference"]:
        settings |= dict.fromkeys(judged, "")
    parameters = "\n".join(f"{name} = {value!r}" for name, value in settings.items())
    cells = [parameters, f"sha256 = {hashes!r}", CHECK, COMPUTE, SAY, DRAW, WRITE]
    code = [code_cell(number, source) for number, source in enumerate(cells)]
    code[0]["metadata"] = {"tags": ["parameters"]}
    first = {"cell_type": "markdown", "id": "about", "metadata": {}, "source": about}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel}
    return {
        "cells": [first, *code],
        "metadata": metadata,
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def code_cell(number: int, source: str) -> dict:
    """A cell without output."""
    empty = {"execution_count": None, "outputs": [], "metadata": {}}
    return {"cell_type": "code", "id": f"code-{number}", "source": source} | empty


CHECK = """\
from pathlib import Path

from helpers import data, figures
from pipeline import own_page, report

for name, expected in sha256.items():
    assert data.file_sha256(Path(name)) == expected, f"{name} is another file"
figures.use_style()"""
COMPUTE = """\
judged = reference, reference_kind
if photographs:
    given = own_page.see(photographs, layer, *judged, reference_array)
else:
    given = own_page.load(activations, *judged, array, reference_array)
found = own_page.analyse(given, similarity)"""
SAY = "report.show(own_page.sentences(found))"
DRAW = "figures_of = own_page.draw(found)"
WRITE = """\
for name, frame in own_page.frames(found).items():
    frame.to_csv(f"{name}.csv", index=False)"""
