"""The explorer's numbers: those of the book, maps that only turn and shift, nothing undefined shown as a number."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import pdist, squareform

import explorer_data
import explorer
from helpers import rsa, sparsity

SHARES = np.arange(1, 31) / 30
points_in_the_plane = arrays(float, (7, 2), elements=st.floats(-10, 10))


@pytest.fixture
def scene(sparse):
    reference = rsa.upper_triangle(rsa.similarity_matrix(sparse))
    pictures = np.zeros((12, 8, 8, 3), np.uint8)
    pictures[:] = np.arange(12, dtype=np.uint8)[:, None, None, None] * 20
    names = tuple("abcdefghijkl")
    return explorer.Scene(
        "t", "itself", pictures, names, names, sparse, sparsity.percentage_of_zeros(sparse), reference
    )


@pytest.fixture
def walks(scene):
    return {first: explorer.walk(scene, first, np.random.default_rng(3), SHARES) for first in explorer.ORDERS}


def order_of(scene, first):
    if first == "random":
        return np.random.default_rng(3).permutation(len(scene.poz))
    return sparsity.poz_order(scene.poz, highest_first=first == "highest")


# --------------------------------------------------------------------------------------------------- the book's numbers
@pytest.mark.parametrize("first", explorer.ORDERS)
def test_matrices_are_the_partial_similarities(scene, walks, first):
    x = scene.embeddings[:, order_of(scene, first)]
    for size, pairs in zip(walks[first].sizes, walks[first].matrices, strict=True):
        slow = rsa.upper_triangle(rsa.similarity_matrix(x[:, :size]))
        np.testing.assert_allclose(pairs, slow, atol=1e-12)


@pytest.mark.parametrize("first", explorer.ORDERS)
def test_r2_is_the_insertion_curve_and_undefined_below_half_of_the_items(scene, walks, first):
    curve = rsa.insertion_curve(scene.embeddings, order_of(scene, first), scene.reference, undefined="drop")
    enough = curve.n_undefined <= 6
    np.testing.assert_array_equal(walks[first].n_undefined, curve.n_undefined)
    np.testing.assert_array_equal(walks[first].r2[enough], curve.r2[enough])
    assert np.isnan(walks[first].r2[~enough]).all()


def test_all_orders_end_at_the_same_matrix_and_the_same_map(walks):
    for walk in walks.values():
        assert walk.r2[-1] == pytest.approx(1)
        np.testing.assert_allclose(walk.matrices[-1], walks["lowest"].matrices[-1], atol=1e-12)
        np.testing.assert_allclose(pdist(walk.maps[-1]), pdist(walks["lowest"].maps[-1]), atol=1e-3)


def test_what_is_undefined_is_missing_from_matrix_and_map_and_counted(walks):
    walk = walks["highest"]
    assert walk.n_undefined.max() == 12 and walk.n_undefined.min() == 0
    for pairs, points, lost in zip(walk.matrices, walk.maps, walk.n_undefined, strict=True):
        square = squareform(pairs, checks=False)
        blank = np.isnan(square).sum(axis=1) == 11
        assert blank.sum() == (12 if lost == 11 else lost), "a single item has no pair to be seen in"
        np.testing.assert_array_equal(np.isnan(points).any(axis=1), blank | (12 - lost < 3))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in explorer.SCENES if name != "objects92"])
def test_sizes_of_the_networks_differ_from_each_other(name):
    scene = explorer.load(name)
    sizes = explorer.walk(scene, "lowest", np.random.default_rng(0)).sizes
    assert len(set(sizes)) == len(explorer.SHARES)
    assert len(scene.thumbnails) == len(scene.labels) == len(scene.groups) == len(scene.embeddings)
    assert np.ptp(scene.thumbnails, axis=(1, 2)).any(axis=1).all(), "an empty picture"


def test_92_objects_predict_the_judgments_as_in_section_2():
    from pipeline import judgments

    scene = explorer.load("objects92")
    walk = explorer.walk(scene, "lowest", np.random.default_rng(0), shares=np.array([0.1, 1.0]))
    matrix = judgments.load_objects92().judgments.matrix
    slow = np.corrcoef(rsa.upper_triangle(np.corrcoef(scene.embeddings)), rsa.upper_triangle(matrix))[0, 1] ** 2
    assert walk.r2[-1] == pytest.approx(slow, abs=1e-6)


def test_unknown_scenes_are_refused():
    with pytest.raises(ValueError, match="no_such"):
        explorer.load("no_such")


# ----------------------------------------------------------------------------------------------------------------- maps
@given(points_in_the_plane, points_in_the_plane)
def test_laying_a_map_over_another_keeps_every_distance(points, target):
    moved = explorer.aligned(points, target)
    np.testing.assert_allclose(pdist(moved), pdist(points), atol=1e-9)
    np.testing.assert_allclose(moved.mean(axis=0), target.mean(axis=0), atol=1e-9)
    shifted = points - points.mean(axis=0) + target.mean(axis=0)
    assert ((moved - target) ** 2).sum() <= ((shifted - target) ** 2).sum() + 1e-9


@given(points_in_the_plane, st.floats(0, 2 * np.pi), st.booleans())
def test_a_turned_and_mirrored_map_is_laid_back(points, angle, mirrored):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = turn @ np.diag([1, -1 if mirrored else 1])
    np.testing.assert_allclose(explorer.aligned(points @ turn + 5, points), points, atol=1e-6)


@given(points_in_the_plane)
def test_distances_in_a_plane_are_mapped_without_loss(points):
    d = squareform(pdist(points))
    np.testing.assert_allclose(pdist(explorer.classical_map(d)), pdist(points), atol=1e-4)


def test_majorisation_lowers_the_stress_to_a_stationary_point(rng):
    d = squareform(rng.uniform(0.5, 2, 66))
    start = explorer.classical_map(d)

    def stress(points):
        return ((squareform(pdist(points)) - d) ** 2).sum()

    found = explorer.stress_map(d, start)
    assert stress(found) < 0.9 * stress(start)
    nudges = 1e-3 * rng.normal(size=(50, *found.shape))
    assert min(stress(found + nudge) for nudge in nudges) > stress(found) * (1 - 1e-4)


def test_maps_of_equal_matrices_do_not_move(rng):
    pairs = rng.uniform(-0.5, 0.9, 66)
    maps = explorer.maps(np.tile(pairs, (4, 1)))
    assert np.abs(np.diff(maps, axis=0)).max() < 0.02 * np.abs(maps).max()


def test_fit_is_that_of_the_defined_pairs(rng):
    points = rng.normal(size=(8, 2))
    assert explorer.map_fit(points, 1 - pdist(points)) == pytest.approx(1)
    square = squareform(1 - pdist(points))
    square[3], square[:, 3] = np.nan, np.nan
    assert explorer.map_fit(points, rsa.upper_triangle(square)) == pytest.approx(1)
    assert np.isnan(explorer.map_fit(points, np.full(28, np.nan)))


# ---------------------------------------------------------------------------------------------------- for the browser
@given(arrays(float, (5, 3), elements=st.one_of(st.floats(-3, 3), st.just(np.nan))))
def test_codes_keep_four_decimals_and_what_is_undefined(values):
    back = explorer.decoded(explorer.encoded(values), values.shape)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(values))
    np.testing.assert_allclose(back, values, atol=0.5 / explorer.UNIT + 1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"-3\.\.3.*3\.5"):
        explorer.quantised([0, 3.5])


def test_packed_scene_and_walk_are_json_with_the_same_numbers(scene, walks):
    about = json.loads(json.dumps(explorer.packed_scene(scene, walks), allow_nan=False))
    for first, walk in walks.items():
        found = np.array([np.nan if v is None else v for v in about["orders"][first]["r2"]])
        np.testing.assert_allclose(found, walk.r2, atol=1e-5)
        assert about["orders"][first]["undefined"] == walk.n_undefined.tolist()
        packed = json.loads(json.dumps(explorer.packed_walk(walk, explorer.extent(walks))))
        np.testing.assert_allclose(explorer.decoded(packed["matrices"], walk.matrices.shape), walk.matrices, atol=1e-4)
        maps = explorer.decoded(packed["maps"], walk.maps.shape) * explorer.extent(walks)
        np.testing.assert_allclose(maps, walk.maps, atol=2e-4)
    assert None in about["orders"]["highest"]["r2"]


def test_reference_goes_from_0_to_1_in_the_order_of_its_values(scene, walks):
    packed = explorer.decoded(explorer.packed_scene(scene, walks)["reference"], scene.reference.shape)
    assert packed.min() == 0 and packed.max() == 1
    assert (np.diff(packed[np.argsort(scene.reference)]) >= 0).all()


def test_scripts_hold_what_they_were_given_and_the_sheet_every_picture(scene, walks, tmp_path):
    about = explorer.packed_scene(scene, walks)
    explorer_data.script(tmp_path, "t", about)
    assert explorer_data.read(tmp_path, "t") == json.loads(json.dumps(about))
    sheet = np.asarray(explorer_data.sheet(scene.thumbnails))
    middle, per_row = explorer_data.TILE // 2, explorer_data.PER_ROW
    for i, picture in enumerate(scene.thumbnails):
        row, column = divmod(i, per_row)
        found = sheet[row * explorer_data.TILE + middle, column * explorer_data.TILE + middle]
        np.testing.assert_array_equal(found, picture[0, 0])


def test_a_folder_of_data_is_written_once_and_whole(tmp_path, monkeypatch):
    written = []

    def write(folder):
        folder.mkdir()
        written.append(folder)
        if len(written) == 1:
            raise OSError("disk full")

    monkeypatch.setattr(explorer_data, "write", write)
    with pytest.raises(OSError):
        explorer_data.write_once(tmp_path / "data")
    assert not (tmp_path / "data").exists()
    for _ in range(2):
        assert explorer_data.write_once(tmp_path / "data").is_dir()
    assert len(written) == 2
