"""The transformer, by scikit-learn's own checks and inside its pipelines."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from helpers import sparsity
from pipeline.selector import PoZSelector


@parametrize_with_checks([PoZSelector(), PoZSelector(share=0.5)])
def test_sklearn_approves(estimator, check):
    check(estimator)


def test_it_keeps_what_the_rules_keep(sparse):
    poz = sparsity.percentage_of_zeros(sparse)
    kept = sparsity.rules(poz)
    n = [PoZSelector(p).fit_transform(sparse).shape[1] for p in (1 - 1 / 12, 0.9)]
    n.append(PoZSelector(share=0.2).fit_transform(sparse).shape[1])
    assert n == list(kept.values())
    fifth = PoZSelector(share=0.2).fit(sparse).get_support(indices=True)
    np.testing.assert_array_equal(
        fifth, np.sort(sparsity.poz_order(poz)[: kept["keep the 20% lowest"]])
    )


def test_a_share_is_rounded_up_and_not_by_rounding_error(rng):
    x = rng.uniform(0.1, 1, (5, 30))
    sizes = [PoZSelector(share=s).fit(x).get_support().sum() for s in (0.1, 0.11, 1)]
    assert sizes == [3, 4, 30]


def test_names_and_inverse(sparse):
    frame = pd.DataFrame(sparse).add_prefix("node")
    selector = PoZSelector(0.9).set_output(transform="pandas").fit(frame)
    kept = selector.transform(frame)
    assert list(kept) == list(selector.get_feature_names_out())
    pd.testing.assert_frame_equal(kept, frame[list(kept)])
    back = selector.inverse_transform(kept)
    np.testing.assert_array_equal(back[:, ~selector.get_support()], 0)


def test_zeros_are_counted_over_training_images_only(sparse, rng):
    """A node that fires for one image is dead without it."""
    x, y = np.column_stack([sparse, np.eye(12)[0]]), rng.normal(size=12)
    model = make_pipeline(PoZSelector(0.95), Ridge())
    assert model.fit(x, y)[0].get_support()[-1]
    assert not model.fit(x[1:], y[1:])[0].get_support()[-1]
    assert np.isfinite(cross_val_score(model, x, y, cv=3)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_poz": 1.2}, "max_poz must lie in"),
        ({"max_poz": np.nan}, "max_poz must lie in"),
        ({"share": 0}, "share must lie in"),
        ({"max_poz": 0}, "no node has a PoZ of at most 0; the lowest is"),
    ],
)
def test_bad_settings_are_refused(settings, message, sparse):
    sparse[0] = 0
    with pytest.raises(ValueError, match=message):
        PoZSelector(**settings).fit(sparse)
    with pytest.raises(ValueError, match="Negative values"):
        PoZSelector().fit(-sparse)
