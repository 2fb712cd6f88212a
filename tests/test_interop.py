"""Objects of other libraries, made by these libraries themselves."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch")

import torch
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import RDMs, calc_rdm

from helpers import rsa
from pipeline.formats import Refused
from pipeline.interop import as_activations, as_reference, to_rdms


@pytest.fixture
def judged(rng):
    """Three raters' similarities of 12 images, (3, 12, 12), symmetric."""
    x = rng.normal(size=(3, 12, 5))
    return np.stack([rsa.similarity_matrix(one) for one in x])


def pairs(matrices):
    return np.stack([rsa.upper_triangle(m) for m in matrices])


def xarray_of(x):
    xarray = pytest.importorskip("xarray")
    return xarray.DataArray(x, dims=("presentation", "neuroid"))


@pytest.mark.parametrize(
    "convert",
    [
        np.asarray,
        np.ndarray.tolist,
        lambda x: torch.tensor(x, requires_grad=True),
        lambda x: torch.tensor(x).reshape(12, 5, 3, 2),
        pd.DataFrame,
        lambda x: pd.DataFrame(x).assign(name="a")[["name", *range(30)]],
        Dataset,
        xarray_of,
    ],
)
def test_activations_of_any_library_are_the_same(convert, sparse):
    np.testing.assert_array_equal(as_activations(convert(sparse)), sparse)


def test_arrays_are_not_copied(sparse):
    tensor = torch.tensor(sparse)
    assert np.shares_memory(as_activations(sparse), sparse)
    assert np.shares_memory(as_activations(tensor), tensor.numpy())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(5), r"the ndarray has shape \(5,\)"),
        (np.ones((3, 5)), r"shape \(3, 5\).*at least 4 images"),
        (np.full((5, 5), "a"), "no real numbers"),
        (torch.ones(5, 5, dtype=torch.complex64), "the Tensor of shape.*complex64"),
        (pd.DataFrame({"a": [1.0] * 4, "b": ["x"] * 4}), "column 'b'"),
    ],
)
def test_what_are_no_activations_is_refused(bad, message):
    with pytest.raises(Refused, match=message):
        as_activations(bad)


# ------------------------------------------------------------------------- judgments
@pytest.mark.parametrize(
    "shape",
    [
        lambda m: m,
        pairs,
        lambda m: m[0],
        lambda m: pairs(m)[0],
        lambda m: pairs(m)[0][:, None],
        lambda m: torch.tensor(m),
        lambda m: pd.DataFrame(m[0]),
    ],
)
def test_every_shape_gives_the_same_pairs(shape, judged):
    given = shape(judged)
    found = as_reference(given, 12, "similarity")
    np.testing.assert_array_equal(found, pairs(judged)[: len(found)])
    opposite = as_reference(given, 12, "dissimilarity")
    np.testing.assert_array_equal(opposite, -found)


def test_rdms_of_rsatoolbox_there_and_back(sparse, judged):
    """Also its own correlation distance is 1 minus our similarity."""
    rdms = to_rdms(judged, labels=list("abcdefghijkl"))
    assert rdms.n_rdm == 3 and rdms.n_cond == 12
    assert list(rdms.pattern_descriptors["images"]) == list("abcdefghijkl")
    np.testing.assert_allclose(1 + as_reference(rdms, 12), pairs(judged))
    theirs = calc_rdm(Dataset(sparse), method="correlation")
    ours = to_rdms(rsa.similarity_matrix(sparse))
    np.testing.assert_allclose(ours.dissimilarities, theirs.dissimilarities, atol=1e-12)
    np.testing.assert_allclose(
        ours.get_matrices()[0], squareform_of(theirs), atol=1e-12
    )
    distances = to_rdms(rsa.similarity_matrix(sparse, "euclidean"), 0)
    theirs = calc_rdm(Dataset(sparse), method="euclidean")
    squared = distances.dissimilarities**2 / sparse.shape[1]
    np.testing.assert_allclose(squared, theirs.dissimilarities)


def squareform_of(rdms):
    return rdms.get_matrices()[0]


def test_files_of_rsatoolbox(sparse, judged, tmp_path):
    names = {"image": [f"i{k}" for k in range(12)]}
    paths = [str(tmp_path / name) for name in ("data.h5", "rdms.h5")]
    Dataset(sparse, obs_descriptors=names).save(paths[0])
    RDMs(1 - pairs(judged), pattern_descriptors=names).save(paths[1])
    np.testing.assert_array_equal(as_activations(paths[0]), sparse)
    found = as_reference(paths[1], 12, "dissimilarity")
    np.testing.assert_allclose(1 + found, pairs(judged))


def test_missing_judgments_stay_missing(judged):
    judged[1, 3, 5] = judged[1, 5, 3] = np.nan
    rdms = RDMs(1 - pairs(judged))
    assert np.isnan(as_reference(rdms, 12)).sum() == 1
    assert np.isnan(as_reference(judged, 12, "similarity")).sum() == 1


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda m: m, "", "kind must be 'similarity' or 'dissimilarity', got ''"),
        (lambda m: m, "distance", "got 'distance'"),
        (lambda m: m[:, :11, :11], "similarity", r"shape \(3, 11, 11\); for 12 images"),
        (lambda m: pairs(m)[:, :-1], "similarity", r"shape \(3, 65\); for 12 images"),
        (lambda m: np.triu(m), "similarity", r"not symmetric: entries \[0, 1\]"),
        (lambda m: m * np.inf, "similarity", "infinite at pair 0 of rater 0"),
        (lambda m: np.ones((12, 12)), "similarity", "rater 0 does not vary"),
        (lambda m: np.full((12, 12), np.nan), "similarity", "rater 0 does not vary"),
        (lambda m: m.astype(str), "similarity", "no real numbers"),
    ],
)
def test_judgments_that_do_not_fit_are_refused(spoil, kind, message, judged):
    with pytest.raises(Refused, match=message):
        as_reference(spoil(judged), 12, kind)


def test_files_are_read(sparse, judged, tmp_path):
    np.savez(tmp_path / "a.npz", relu=sparse, human=pairs(judged))
    path = str(tmp_path / "a.npz")
    np.testing.assert_array_equal(as_activations(path, "relu"), sparse)
    found = as_reference(path, 12, "similarity", "human")
    np.testing.assert_array_equal(found, pairs(judged))
