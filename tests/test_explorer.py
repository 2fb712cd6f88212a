"""The explorer's numbers: those of the book, maps that only turn and shift, and nothing
undefined shown as a number."""

import base64
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist, squareform

import explorer
import explorer_data
from helpers import data, rsa, sparsity

SHARES = np.arange(1, 31) / 30
points_in_the_plane = arrays(float, (7, 2), elements=st.floats(-10, 10))
every_order = pytest.mark.parametrize("first", explorer.ORDERS)


def test_every_object_has_a_name_of_its_own():
    names = explorer.OBJECT_NAMES.read_text("utf-8").splitlines()
    assert len(names) == len(set(names)) == 92
    assert all(0 < len(name) <= 40 and name == name.strip() for name in names)


@pytest.fixture
def scene(sparse):
    shades = np.arange(12, dtype=np.uint8) * 20
    names = tuple("abcdefghijkl")
    return explorer.Scene(
        title="t",
        compared_with="itself",
        thumbnails=np.broadcast_to(shades[:, None, None, None], (12, 8, 8, 3)),
        labels=names,
        groups=names,
        embeddings=sparse,
        poz=sparsity.percentage_of_zeros(sparse),
        reference=rsa.upper_triangle(rsa.similarity_matrix(sparse)),
    )


@pytest.fixture
def walks(scene):
    return {
        first: explorer.walk(scene, first, np.random.default_rng(3), SHARES)
        for first in explorer.ORDERS
    }


def order_of(scene, first):
    if first == "random":
        return np.random.default_rng(3).permutation(len(scene.poz))
    return sparsity.poz_order(scene.poz, highest_first=first == "highest")


def decoded(text, shape):
    """Invert `explorer_data.encoded`."""
    codes = np.frombuffer(base64.b64decode(text), "<i2").reshape(shape)
    undefined = codes == explorer_data.UNDEFINED
    return np.where(undefined, np.nan, codes / explorer_data.UNIT)


# --------------------------------------------------------------- the book's numbers
@every_order
def test_matrices_and_r2_are_those_of_rsa(scene, walks, first):
    order, walk = order_of(scene, first), walks[first]
    x = scene.embeddings[:, order]
    for size, pairs in zip(walk.sizes, walk.matrices, strict=True):
        slow = rsa.upper_triangle(rsa.similarity_matrix(x[:, :size]))
        np.testing.assert_allclose(pairs, slow, atol=1e-12)
    reference = scene.reference
    curve = rsa.insertion_curve(scene.embeddings, order, reference, undefined="drop")
    expected = np.where(curve.n_undefined <= 6, curve.r2, np.nan)
    np.testing.assert_array_equal(walk.r2, expected)
    np.testing.assert_array_equal(walk.n_undefined, curve.n_undefined)


@every_order
def test_all_orders_end_at_the_same_matrix_and_the_same_map(walks, first):
    walk, lowest = walks[first], walks["lowest"]
    assert walk.r2[-1] == pytest.approx(1)
    np.testing.assert_allclose(walk.matrices[-1], lowest.matrices[-1], atol=1e-12)
    np.testing.assert_allclose(pdist(walk.maps[-1]), pdist(lowest.maps[-1]), atol=1e-3)


def test_undefined_items_are_missing_from_matrix_and_map_and_counted(walks):
    walk = walks["highest"]
    assert walk.n_undefined.max() == 12 and walk.n_undefined.min() == 0
    steps = zip(walk.matrices, walk.maps, walk.n_undefined, strict=True)
    for pairs, points, n_undefined in steps:
        blank = np.isnan(squareform(pairs, checks=False)).sum(axis=1) == 11
        # a single defined item has no pair to be seen in
        assert blank.sum() == (12 if n_undefined == 11 else n_undefined)
        missing = np.isnan(points).any(axis=1)
        np.testing.assert_array_equal(missing, blank | (12 - n_undefined < 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", explorer.SCENES)
def test_scenes_are_complete_and_their_sizes_differ(name):
    scene = explorer.load(name)
    sizes = explorer.walk(scene, "lowest", np.random.default_rng(0)).sizes
    assert len(set(sizes)) == len(explorer.SHARES)
    parts = (scene.thumbnails, scene.labels, scene.groups, scene.embeddings)
    assert len({len(part) for part in parts}) == 1
    assert np.ptp(scene.thumbnails, axis=(1, 2)).any(axis=1).all(), "an empty picture"


def test_92_objects_predict_the_judgments_as_in_section_2():
    scene = explorer.load("objects92")
    rng, shares = np.random.default_rng(0), np.array([0.1, 1.0])
    walk = explorer.walk(scene, "lowest", rng, shares)
    pairs = np.triu_indices(92, 1)
    similar = np.corrcoef(scene.embeddings)[pairs]
    r = np.corrcoef(similar, data.load_objects92().mean[pairs])[0, 1]
    assert walk.r2[-1] == pytest.approx(r**2, abs=1e-6)
    assert [walk.at(share) for share in (0.02, 0.8)] == [0, 1]


def test_unknown_scenes_are_refused():
    with pytest.raises(ValueError, match="no_such"):
        explorer.load("no_such")


# ----------------------------------------------------------------------------- maps
@given(points_in_the_plane, points_in_the_plane)
def test_laying_a_map_over_another_keeps_every_distance(points, target):
    moved = explorer.aligned(points, target)
    np.testing.assert_allclose(pdist(moved), pdist(points), atol=1e-9)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0), atol=1e-9)
    shifted = points - points.mean(axis=0) + target.mean(axis=0)
    assert ((moved - target) ** 2).sum() <= ((shifted - target) ** 2).sum() + 1e-9


@given(points_in_the_plane, st.floats(0, 2 * np.pi), st.booleans())
def test_a_turned_and_mirrored_map_is_laid_back(points, angle, mirrored):
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([1, -1 if mirrored else 1])
    back = explorer.aligned(points @ turn + 5, points)
    np.testing.assert_allclose(back, points, atol=1e-6)


def test_distances_in_a_plane_are_mapped_without_loss(rng):
    distances = pdist(rng.normal(size=(7, 2)))
    points = explorer.classical_map(squareform(distances))
    np.testing.assert_allclose(pdist(points), distances, atol=1e-6)
    stressed = explorer.stress_map(squareform(distances), points)
    np.testing.assert_allclose(pdist(stressed), distances, atol=1e-3)
    assert explorer.map_fit(points, 1 - distances) == pytest.approx(1)


def test_the_map_is_a_stationary_point_of_the_stress(rng):
    distances = rng.uniform(0.5, 2, 66)

    def stress(points):
        return ((pdist(points) - distances) ** 2).sum()

    start = explorer.classical_map(squareform(distances))
    points = explorer.stress_map(squareform(distances), start)
    assert stress(points) < 0.9 * stress(start)
    nudges = 1e-3 * rng.normal(size=(50, *points.shape))
    assert min(stress(points + n) for n in nudges) > stress(points) * (1 - 1e-4)


def test_maps_of_equal_matrices_do_not_move(rng):
    maps = explorer.maps(np.tile(rng.uniform(-0.5, 0.9, 66), (4, 1)))
    assert np.abs(np.diff(maps, axis=0)).max() < 0.02 * np.abs(maps).max()


def test_the_fit_is_over_defined_pairs(rng):
    points = rng.normal(size=(8, 2))
    square = squareform(1 - pdist(points))
    square[3], square[:, 3] = np.nan, np.nan
    pairs = rsa.upper_triangle(square)
    assert explorer.map_fit(points, pairs) == pytest.approx(1)
    assert np.isnan(explorer.map_fit(points, np.full(28, np.nan)))


# ------------------------------------------------------------------ for the browser
@given(arrays(float, (5, 3), elements=st.one_of(st.floats(-3, 3), st.just(np.nan))))
def test_codes_keep_four_decimals_and_undefined_values(values):
    back = decoded(explorer_data.encoded(values), values.shape)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    np.testing.assert_allclose(back, values, atol=0.5 / explorer_data.UNIT + 1e-12)


def test_values_beyond_the_codes_are_refused():
    with pytest.raises(ValueError, match=r"-3\.\.3.*3\.5"):
        explorer_data.encoded(np.array([0, 3.5]))


@every_order
def test_packed_scene_and_walk_hold_the_same_numbers(scene, walks, first):
    packed = explorer_data.packed_scene(scene, walks)
    about = json.loads(json.dumps(packed, allow_nan=False))["orders"][first]
    walk, extent = walks[first], explorer_data.extent(walks)
    np.testing.assert_allclose(np.array(about["r2"], float), walk.r2, atol=1e-5)
    assert about["undefined"] == walk.n_undefined.tolist()
    steps = explorer_data.packed_walk(walk, extent)
    matrices = decoded(steps["matrices"], walk.matrices.shape)
    np.testing.assert_allclose(matrices, walk.matrices, atol=1e-4)
    maps = decoded(steps["maps"], walk.maps.shape) * extent
    np.testing.assert_allclose(maps, walk.maps, atol=2e-4)


def test_the_reference_goes_from_0_to_1_in_the_order_of_its_values(scene, walks):
    packed = explorer_data.packed_scene(scene, walks)["reference"]
    shown = decoded(packed, scene.reference.shape)
    assert shown.min() == 0 and shown.max() == 1
    assert (np.diff(shown[np.argsort(scene.reference)]) >= 0).all()


def test_the_sheet_holds_every_picture(scene):
    sheet = np.asarray(explorer_data.sheet(scene.thumbnails))
    tile = explorer_data.TILE
    for i, picture in enumerate(scene.thumbnails):
        row, column = divmod(i, explorer_data.PER_ROW)
        middle = sheet[row * tile + tile // 2, column * tile + tile // 2]
        np.testing.assert_array_equal(middle, picture[0, 0])


def test_a_folder_of_data_is_written_once_and_whole(tmp_path, monkeypatch):
    written, folder = [], tmp_path / "data"

    def write(part):
        part.mkdir()
        written.append(part)
        if len(written) == 1:
            raise OSError("disk full")
        for name in ("a.js", "b.webp"):
            (part / name).write_text(name)

    monkeypatch.setattr(explorer_data, "write", write)
    with pytest.raises(OSError):
        explorer_data.write_once(folder)
    assert not folder.exists()
    for _ in range(2):
        explorer_data.write_once(folder)
    assert len(written) == 2
    (folder / "a.js").unlink()
    explorer_data.write_once(folder)
    (folder / "b.webp").write_text("altered")
    explorer_data.write_once(folder)
    assert len(written) == 4
    assert {path.name: path.read_text() for path in folder.glob("?.*")} == {
        "a.js": "a.js",
        "b.webp": "b.webp",
    }
