"""Arrays that nobody would send: their types, orders, strides, units and values."""

import numpy as np
from hypothesis import strategies as st

LEVELS = np.array([0, 0, 0, 0.25, 1, 7.5, 1e-3, 3e4])
UNITS = (1.0, 1.0, 1e-3, 1e8, 1e-170, 1e160, 1e300, 2.0**-1060)
OFFSETS = (0.0, 0.0, 1.0, 1e6, 1e8)


def laid_out(values, how):
    """The same values in another type, order or place of memory, not to be written."""
    if how == "fortran":
        values = np.asfortranarray(values)
    elif how == "strided":
        values = np.repeat(values, 3, axis=-1)[..., ::3]
    elif how == "reversed":
        values = values[::-1].copy()[::-1]
    elif how == "big-endian":
        values = values.astype(values.dtype.newbyteorder(">"))
    elif how == "longdouble" and values.dtype.kind == "f":
        values = values.astype(np.longdouble)
    elif how == "list":
        return values.tolist()
    values.flags.writeable = False
    return values


layouts = st.sampled_from(
    ["plain", "fortran", "strided", "reversed", "big-endian", "longdouble", "list"]
)


@st.composite
def embeddings(draw, images=(3, 9), features=(1, 14), post_relu=False):
    """Float64 with equal, constant, silent and huge rows, and ghosts."""
    n, k = draw(st.integers(*images)), draw(st.integers(*features))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.choice(LEVELS, (n, k))
    if draw(st.booleans()):
        x = x * rng.normal(size=(n, k)) if not post_relu else x * rng.random((n, k))
    if not post_relu:
        x = x + draw(st.sampled_from(OFFSETS)) * rng.integers(-1, 2, (n, 1))
    for what in draw(
        st.lists(st.sampled_from(["duplicate", "constant", "silent", "ghost"]))
    ):
        row, column = rng.integers(n), rng.integers(k)
        if what == "duplicate":
            x[row] = x[rng.integers(n)]
        elif what == "ghost":
            x[:, column] = 0
        else:
            x[row] = 0 if what == "silent" else x[row, 0]
    return x * draw(st.sampled_from(UNITS))


@st.composite
def judgments(draw, n_images, missing=False):
    """Pairs (n_pairs,), in any unit, with ties; perhaps constant, perhaps missing."""
    n = n_images * (n_images - 1) // 2
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds = [rng.normal(size=n), rng.integers(0, 3, n).astype(float), np.ones(n)]
    y = draw(st.sampled_from(kinds)) + draw(st.sampled_from(OFFSETS[:4]))
    y = y * draw(st.sampled_from(UNITS))
    if missing:
        y[rng.random(n) < draw(st.sampled_from([0, 0.2, 0.9]))] = np.nan
    return y


@st.composite
def garbage(draw):
    """What is no array of numbers at all, or one that no argument can be."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.random((4, 3))
    return draw(
        st.sampled_from(
            [
                None,
                "text",
                b"bytes",
                1j,
                np.nan,
                -1,
                2.5,
                (value for value in x),
                [[1, 2], [3]],
                [["a"]],
                {"a": 1},
                np.ma.masked_less(x, 0.5),
                x + 1j,
                x.astype(object),
                x.astype("datetime64[s]"),
                x.astype([("a", float)]),
                np.where(x < 0.5, np.nan, x),
                np.where(x < 0.5, -np.inf, x),
                np.zeros((0, 0)),
                np.zeros((0, 3)),
                np.zeros((3, 0)),
                np.zeros((2, 2, 2)),
                np.array(0.5),
                np.array([2**64 - 1, 0], np.uint64),
                np.array([-1, 0, 5]),
                np.zeros(0),
            ]
        )
    )
