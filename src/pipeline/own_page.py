"""What the page *Try your own* computes, in the reader's browser or in the notebook
that the page hands out: files or photographs in, frames and figures out.

Files are untrusted: they are read by `pipeline.readers`, after checks against what a
page has room for, and photographs by Pillow. Everything that is refused is refused in
a sentence (`formats.Refused`).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from scipy.spatial.distance import pdist

from helpers import data, figures, rsa, squeezenet
from pipeline import census, formats, inputs, interop, own_network, report
from pipeline import report_figures as drawers
from pipeline.formats import Refused

FILES = (".npy", ".npz", ".csv", ".tsv", ".txt")
PHOTOS = (".jpg", ".jpeg", ".png", ".webp")
LAYERS = (*squeezenet.FIRES, "conv10")
LARGEST_FILE, LARGEST_TEXT = 128 * 2**20, 32 * 2**20
"""Bytes of a file, and of one that is text."""
LONGEST_LINE = 4 * 2**20
LARGEST_ARRAY = 256 * 2**20
"""Bytes that the arrays of a file may take."""
MOST_NUMBERS = 8_000_000
"""Images compared, times nodes."""
MOST_PHOTOS, LARGEST_PHOTO, MOST_PIXELS = 60, 32 * 2**20, 60_000_000
LONGEST_NAME = 40
THUMBNAIL = 72  # pixels
SETTINGS = own_network.Settings(n_resamples=200, n_orders=40, n_repeats=0)
MORE = "make report, in a clone of the repository, reads more"


@dataclass(frozen=True, eq=False)
class Given:
    """What is analysed; pictures where there are any, layers for photographs."""

    inputs: inputs.Inputs
    pictures: np.ndarray | None = None  # (n_images, side, side, 3) uint8
    layers: pd.DataFrame | None = None  # of `by_layer`


@dataclass(frozen=True, eq=False)
class Found:
    """The numbers of the page. What is undefined is NaN."""

    given: Given
    analysis: own_network.Analysis  # with curves, without rules
    matrix: pd.DataFrame  # (n_used, n_used) similarities, named
    places: pd.DataFrame  # a row per image used: item, x, y
    fit: float  # squared correlation of distances on the map and similarities


# ----------------------------------------------------------------------------- files
def load(
    activations: str | Path = "",
    reference: str | Path = "",
    reference_kind: str = "",
    array: str = "",
    reference_array: str = "",
) -> Given:
    """Activations, and judgments if there are any, from files of one of `FILES`.

    Parameters are those of `inputs.load`, as are the errors; without activations, the
    book's 92 objects. Refused also: what is larger than a page has room for.
    """
    for path in filter(str, (activations, reference)):
        check_file(Path(path))
    files = activations, reference, "", reference_kind, array, reference_array
    found = inputs.load(*files)
    check_room(found.values.shape)
    if not str(activations):
        return Given(found, thumbnails(data.load_objects92().images))
    labels = tuple(map(plain, found.labels))
    return Given(replace(found, name=plain(found.name), labels=labels))


def check_file(path: Path) -> None:
    """Refuse a file by its name, its size, or what its first bytes declare."""
    suffix, n_bytes = path.suffix.lower(), path.stat().st_size
    if suffix not in FILES and suffix not in formats.PICKLES:
        raise Refused(
            f"{plain(path.name)}: this page reads {', '.join(FILES)} and photographs "
            f"({', '.join(PHOTOS)}); save as one of these, or use {MORE}."
        )
    limit = LARGEST_FILE if suffix in (".npy", ".npz") else LARGEST_TEXT
    check_bytes(path, n_bytes, limit)
    with path.open("rb") as file:
        if suffix == ".npy":
            check_npy(path, file, n_bytes)
        elif suffix == ".npz":
            check_npz(path)
        elif len(file.readline(LONGEST_LINE)) >= LONGEST_LINE:
            raise Refused(
                f"{plain(path.name)} has a line of more than "
                f"{megabytes(LONGEST_LINE)}; put each image into a line of its own, or "
                "save as .npy."
            )


def check_bytes(path: Path, n_bytes: int, limit: int) -> None:
    """Refuse an empty file, and one above the limit."""
    if not n_bytes:
        raise Refused(f"{plain(path.name)} is empty; save it again.")
    if n_bytes > limit:
        raise Refused(
            f"{plain(path.name)} has {megabytes(n_bytes)}, and this page takes "
            f"{megabytes(limit)} at most; give fewer images, or use {MORE}."
        )


def check_npy(path: Path, file, n_bytes: int) -> None:
    """Refuse a .npy whose header is not that of as many numbers as there are."""
    if file.read(6) != b"\x93NUMPY":
        raise Refused(
            f"{plain(path.name)} is no .npy file but something else under its name; "
            "save the array with numpy.save."
        )
    file.seek(0)
    with formats.in_a_sentence(path):
        version = np.lib.format.read_magic(file)
        read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
        shape, _, dtype = read(file)
    if dtype.hasobject:
        raise Refused(f"{plain(path.name)} holds Python objects; save it as float32.")
    needed = dtype.itemsize
    for n in shape:  # Python's integers: those of the browser's numpy overflow
        needed *= n
    if needed != n_bytes - file.tell():
        raise Refused(
            f"{plain(path.name)} says shape {shape}, which is {needed} bytes, but "
            f"holds {n_bytes - file.tell()}; save it again."
        )


def check_npz(path: Path) -> None:
    """Refuse an archive whose arrays would take more than `LARGEST_ARRAY`."""
    with formats.in_a_sentence(path), zipfile.ZipFile(path) as archive:
        n_bytes = sum(member.file_size for member in archive.infolist())
    if n_bytes > LARGEST_ARRAY:
        raise Refused(
            f"{plain(path.name)} would unpack from {megabytes(path.stat().st_size)} to "
            f"{megabytes(n_bytes)}, and this page takes {megabytes(LARGEST_ARRAY)} at "
            f"most; give fewer images, or use {MORE}."
        )


def check_room(shape: tuple[int, ...]) -> None:
    """Refuse more nodes than a page has room for."""
    n_images = min(shape[0], SETTINGS.max_images)
    if n_images * shape[1] > MOST_NUMBERS:
        raise Refused(
            f"{n_images} images of {shape[1]:,} nodes are too many for this page; it "
            f"takes {MOST_NUMBERS // n_images:,} nodes for these: give fewer images, "
            f"take another layer, or use {MORE}."
        )


def plain(name: str) -> str:
    """A name from a file as a short text in one line, without control characters."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(name)).split())
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"


def megabytes(n_bytes: int) -> str:
    """A size for a sentence."""
    return (
        f"{n_bytes / 2**20:,.3g} MB" if n_bytes < 2**30 else f"{n_bytes / 2**30:.3g} GB"
    )


# ----------------------------------------------------------------------- photographs
def see(
    paths: Sequence[str | Path],
    layer: str = "fire9",
    reference: str | Path = "",
    reference_kind: str = "",
    reference_array: str = "",
    say: Callable[[str], object] = print,
) -> Given:
    """What a layer of SqueezeNet makes of photographs, in the order of ``paths``.

    ``layer`` is one of `LAYERS`; a node is a channel at a place. Judgments as for
    `load`. ``say`` is told of every photograph. Refused: too many or few photographs,
    or one that cannot be read.
    """
    paths = [Path(path) for path in paths]
    if not interop.MIN_IMAGES <= len(paths) <= MOST_PHOTOS:
        raise Refused(
            f"This page needs {interop.MIN_IMAGES} to {MOST_PHOTOS} photographs; got "
            f"{len(paths)}."
        )
    weights, rows, zeros, pictures = squeezenet.load_weights(), [], {}, []
    for number, path in enumerate(paths, 1):
        say(f"Photograph {number} of {len(paths)}")
        pictures.append(picture(path))
        found = squeezenet.activations(pictures[-1], weights, LAYERS)
        for name, values in found.items():
            zeros[name] = zeros.get(name, 0) + (values == 0).ravel().astype(np.int16)
        rows.append(found[layer].ravel())
        check_room((len(paths), rows[0].size))
    values, raters = np.stack(rows), None
    files = {"photographs": f"{len(paths)}, {layer} of SqueezeNet v1.1"}
    if str(reference):
        check_file(Path(reference))
        judged = reference, len(values), reference_kind, reference_array
        raters = interop.as_reference(*judged)
        files["judgments"] = f"{plain(Path(reference).name)}, read as {reference_kind}"
    names = tuple(plain(path.stem) for path in paths)
    about = f"Photographs, SqueezeNet {layer}", values, raters, names, files
    return Given(
        inputs.Inputs(*about), thumbnails(pictures), by_layer(zeros, len(rows))
    )


def picture(path: Path) -> np.ndarray:
    """A photograph upright, squashed to what the network sees: (227, 227, 3) uint8.

    A JPEG is read at a fraction of its size where that is large enough.
    """
    name, side = plain(path.name), squeezenet.SIDE
    check_bytes(path, path.stat().st_size, LARGEST_PHOTO)
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise Image.DecompressionBombError
            image.draft("RGB", (2 * side, 2 * side))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            squashed = upright.resize((side, side), Image.Resampling.BILINEAR)
    except Image.DecompressionBombError as error:
        raise Refused(
            f"{name} has more than {MOST_PIXELS // 10**6} million pixels, which is "
            "more than this page takes; make it smaller."
        ) from error
    except Exception as error:  # Pillow raises errors of many kinds
        raise Refused(
            f"{name} cannot be read as a photograph: it is damaged or of another kind; "
            "save it again as .jpg, .png or .webp."
        ) from error
    return np.asarray(squashed)


def thumbnails(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Small versions (n, side, side, 3) of pictures."""
    small = [Image.fromarray(p).resize((THUMBNAIL, THUMBNAIL)) for p in pictures]
    return np.stack([np.asarray(image) for image in small])


def by_layer(zeros: dict[str, np.ndarray], n_images: int) -> pd.DataFrame:
    """Nodes of each layer, and how many are dead, rare and live.

    ``zeros``: for each layer, the number of images for which each node is zero.
    """
    rows = []
    for layer, counts in zeros.items():
        found = census.Census(counts / n_images, np.empty(n_images))
        row = {kind: int((found.kinds == kind).sum()) for kind in census.KINDS}
        about = {"layer": layer, "nodes": len(counts), "mean PoZ": found.poz.mean()}
        rows.append(about | row)
    return pd.DataFrame(rows)


# -------------------------------------------------------------------------- analysis
def analyse(given: Given, similarity: str = "pearson", seed: int = 0) -> Found:
    """PoZ, matrix, map and insertion curves, as on page 09 with fewer resamples.

    Refused: activations that are negative or not finite, too few images that have a
    similarity, or judgments of too few of them. ValueError: an unknown similarity.
    """
    values, raters = given.inputs.values, given.inputs.raters
    settings = replace(SETTINGS, similarity=similarity, seed=seed)
    zeros, rng = census.count(values), np.random.default_rng(seed)
    images, n_undefined = own_network.choose_images(
        values, zeros, settings.max_images, rng
    )
    x = np.asarray(values[images], np.float64)
    square = rsa.similarity_matrix(x, similarity)
    raters = np.empty((0, 0)) if raters is None else raters
    if len(raters):
        raters = own_network.of_images(raters, images, values)
    judged = own_network.mean_rater(raters)
    check_judged(judged, square)
    curves, gain, _ = own_network.insertion(x, zeros.poz, judged, settings, rng)
    nodes = pd.DataFrame({"poz": zeros.poz, "kind": zeros.kinds})
    nothing = pd.DataFrame()
    analysis = own_network.Analysis(
        settings=settings,
        zeros=zeros,
        images=images,
        n_undefined=n_undefined,
        raters=raters,
        nodes=nodes.rename_axis("node").reset_index(),
        curves=curves,
        rules=nothing,
        needed=nothing,
        two_factor=nothing,
        levels=pd.Series(dtype=float),
        gain=gain,
    )
    names = [given.inputs.labels[i] for i in images]
    points = classical_map(-square if similarity == "euclidean" else 1 - square)
    places = pd.DataFrame({"item": names, "x": points[:, 0], "y": points[:, 1]})
    matrix = pd.DataFrame(square, names, names)
    return Found(given, analysis, matrix, places, map_fit(points, square))


def check_judged(judged: np.ndarray | None, square: np.ndarray) -> None:
    """Refuse judgments that leave too few pairs, or do not vary over them."""
    if judged is None:
        return
    found = judged[np.isfinite(judged) & np.isfinite(rsa.upper_triangle(square))]
    if len(found) < own_network.MIN_PAIRS // 4 or np.ptp(found) == 0:
        raise Refused(
            f"The judgments hold {len(found)} pairs of images that have a similarity, "
            "or do not vary over them; give judgments of more images."
        )


def classical_map(distances: np.ndarray) -> np.ndarray:
    """Torgerson's map (n, 2) of distances (n, n), the longer axis first.

    Each axis points to where its largest coordinate is positive.
    """
    squared = distances**2
    centred = squared - squared.mean(axis=0) - squared.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(-(centred + squared.mean()) / 2)
    points = vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 0))
    largest = np.abs(points).argmax(axis=0)
    return points * np.where(points[largest, [0, 1]] < 0, -1, 1)


def map_fit(points: np.ndarray, square: np.ndarray) -> float:
    """Squared correlation of distances on a map (n, 2) with similarities (n, n)."""
    x, y = pdist(points), rsa.upper_triangle(square)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1] ** 2)


# ---------------------------------------------------------------------------- tables
def frames(found: Found) -> dict[str, pd.DataFrame]:
    """Everything as tables, by the name of the figure or file."""
    kept = {
        "nodes": found.analysis.nodes,
        "poz": found.analysis.zeros.histogram(),
        "matrix": found.matrix.reset_index(names="item"),
        "map": found.places,
        "curves": found.analysis.curves,
    }
    if found.given.layers is not None:
        kept["layers"] = found.given.layers
    return {name: safe(frame) for name, frame in kept.items()}


def safe(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose texts no spreadsheet takes for a formula."""

    def text(value):
        is_formula = isinstance(value, str) and re.match(r"[=+\-@]", value)
        return f"'{value}" if is_formula else value

    texts = [c for c in frame if not pd.api.types.is_numeric_dtype(frame[c])]
    changed = {column: [text(value) for value in frame[column]] for column in texts}
    return frame.assign(**changed).rename(columns=text)


# ---------------------------------------------------------------------------- words
def sentences(found: Found) -> list[str]:
    """The findings. Names from files are mere text."""
    a, given = found.analysis, found.given.inputs
    said = report.on_data(a, given.name, given.labels)
    said += [*report.on_poz(a), *report.on_curves(a)]
    if np.isfinite(found.fit):
        said.append(
            f"The map's distances account for {found.fit:.0%} of the variance of the "
            "similarities."
        )
    return said


# ---------------------------------------------------------------------------- figures
def draw(found: Found, width: float = figures.WIDTH) -> dict[str, Figure]:
    """A figure for each of the frames but nodes and layers; ``width`` in inches."""
    drawn = {
        "poz": (drawers.draw_poz, found.analysis.zeros.histogram(), 2.9),
        "matrix": (draw_matrix, found, 0.8 * width),
        "map": (draw_map, found, 0.8 * width),
        "curves": (drawers.draw_curves, found.analysis, 3.4),
    }
    made = {}
    for name, (drawer, content, height) in drawn.items():
        made[name], ax = plt.subplots(figsize=(width, height))
        drawer(ax, content)
    return made


def draw_matrix(ax: Axes, found: Found) -> Axes:
    """The similarity matrix, blank on its diagonal.

    Colours go from light to dark, so that dark mode can invert them.
    """
    square = found.matrix.to_numpy(copy=True)
    np.fill_diagonal(square, np.nan)
    low, high = np.nanquantile(square, [0.02, 0.98])
    look = {"cmap": "mako_r", "interpolation": "none", "vmin": low, "vmax": high}
    image = ax.imshow(square, **look)
    label = f"similarity ({figures.NAMES[found.analysis.settings.similarity]})"
    ax.figure.colorbar(image, ax=ax, shrink=0.8, extend="both", label=label)
    ax.set(xlabel="image", ylabel="image")
    return ax


def draw_map(ax: Axes, found: Found) -> Axes:
    """The map: photographs, names where there are few, or dots."""
    places, pictures = found.places, found.given.pictures
    x, y = places["x"].to_numpy(), places["y"].to_numpy()
    side = 0.5 / np.sqrt(len(x)) * max(np.ptp(x), np.ptp(y), 1e-9)
    if pictures is None:
        ax.plot(x, y, "o", markersize=4, alpha=0.8)
    for i, image in enumerate(found.analysis.images if pictures is not None else ()):
        edges = x[i] - side / 2, x[i] + side / 2, y[i] - side / 2, y[i] + side / 2
        ax.imshow(pictures[image], extent=edges, zorder=2)
    if pictures is None and len(places) <= 30:
        for name, *place in zip(places["item"], x, y, strict=True):
            text = name.replace("$", r"\$")
            ax.annotate(text, place, (3, 3), textcoords="offset points", fontsize=8)
    ax.set(xlim=(x.min() - side, x.max() + side), ylim=(y.min() - side, y.max() + side))
    ax.set(xticks=[], yticks=[], aspect="equal")
    return ax
