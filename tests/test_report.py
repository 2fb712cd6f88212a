"""The analysis of a reader's own network: numbers equal to a slow reference, sentences
that follow from them, and a file that needs and runs nothing else."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from scipy import stats

from helpers import data, rsa, sparsity
from pipeline import __main__ as command_line
from pipeline import inputs, own_network, report, specifications
from pipeline.formats import Refused
from pipeline.own_network import Settings, analyse

QUICK = Settings(n_resamples=60, n_orders=20, n_repeats=2)


@pytest.fixture
def x(rng):
    """20 images, 60 nodes with a threshold each, of which some never fire."""
    latents = rng.normal(size=(20, 4))
    x = np.maximum(latents @ rng.normal(size=(4, 60)) - rng.uniform(-2, 2.5, 60), 0)
    x[:, :5] = 0
    return x


@pytest.fixture
def raters(x, rng):
    """Four raters who see the network's similarities through noise, (4, n_pairs)."""
    y = rsa.upper_triangle(rsa.similarity_matrix(x + 0.1))
    return y + rng.normal(size=(4, len(y)))


@pytest.fixture
def judged(x, raters):
    return analyse(x, raters, QUICK)


@pytest.fixture
def alone(x):
    return analyse(x, None, QUICK)


# ---------------------------------------------------------------------------- numbers
SLOW = {
    "pearson": np.corrcoef,
    "pearson_squared": lambda x: np.corrcoef(x) ** 2,
    "spearman": lambda x: stats.spearmanr(x, axis=1).statistic,
    "cosine": lambda x: np.array(
        [[a @ b / (a @ a * (b @ b)) ** 0.5 for a in x] for b in x]
    ),
    "euclidean": lambda x: (
        -np.array([[((a - b) ** 2).sum() ** 0.5 for a in x] for b in x])
    ),
}


def slow_score(x, y, method, comparator):
    pairs = rsa.upper_triangle(SLOW[method](x))
    if comparator == "R²":
        return stats.pearsonr(pairs, y).statistic ** 2
    return stats.spearmanr(pairs, y).statistic


@pytest.mark.parametrize("method", SLOW)
def test_changes_are_those_of_a_slow_reference(method, x, raters, judged):
    poz = [np.mean([value == 0 for value in node]) for node in x.T]
    order = sorted(range(60), key=lambda node: poz[node])
    sizes = [sum(p < 1 for p in poz), sum(p <= 0.9 for p in poz), 12]
    rows = judged.rules[judged.rules["similarity"] == method]
    for (_, row), k in zip(rows.iterrows(), sizes * 2, strict=True):
        y = raters.mean(axis=0)
        full = slow_score(x, y, method, row["comparator"])
        kept = x[:, order[:k]]
        assert row["kept"] == k and row["all"] == pytest.approx(full)
        if method == "spearman" and row["comparator"] != "R²":
            continue  # equal rank correlations of few nodes: rounding decides ties
        if np.isnan(row["change"]):
            assert np.isnan(SLOW[method](kept)).any()
        else:
            change = slow_score(kept, y, method, row["comparator"]) - full
            assert row["change"] == pytest.approx(change, abs=1e-10)
            assert row["low"] <= row["high"]


def test_without_judgments_the_reference_is_the_networks_own_matrix(x, alone):
    assert not alone.has_reference and np.isnan(alone.gain).all()
    np.testing.assert_allclose(alone.rules["all"], 1)
    full = rsa.upper_triangle(np.corrcoef(x))
    order = sparsity.poz_order(sparsity.percentage_of_zeros(x))
    n_live = x.any(axis=0).sum()
    pruned = rsa.upper_triangle(np.corrcoef(x[:, order[:n_live]]))
    change = np.corrcoef(full, pruned)[0, 1] ** 2 - 1
    assert alone.main["change"].iloc[0] == pytest.approx(change, abs=1e-12)
    last = alone.curves.groupby("order")["value"].last()
    np.testing.assert_allclose(last, 1)


def test_ghosts_are_noticed_by_correlations_only(judged):
    rules = judged.rules[judged.rules["rule"] == "drop ghosts"]
    correlates = rules["similarity"].isin(specifications.CORRELATIONS)
    np.testing.assert_allclose(rules.loc[~correlates, "change"], 0, atol=1e-12)
    assert (rules.loc[correlates & (rules["comparator"] == "R²"), "change"] != 0).all()


def test_missing_judgments_are_left_out(x, raters):
    missing = raters.copy()
    missing[:, 7] = np.nan
    missing[0, 9] = np.nan
    found = analyse(x, missing, QUICK).main
    keep = np.arange(190) != 7
    y = np.nanmean(missing[:, keep], axis=0)
    full = np.corrcoef(rsa.upper_triangle(np.corrcoef(x))[keep], y)[0, 1] ** 2
    assert found["all"].iloc[0] == pytest.approx(full)
    assert analyse(x, missing, QUICK).two_factor.empty


def test_raters_without_pairs_in_common_have_no_reliability(x, raters):
    for rater, pairs in zip(raters, np.array_split(np.arange(190), 4), strict=True):
        rater[pairs] = np.nan
    found = analyse(x, raters, QUICK)
    assert "Too few pairs" in report.on_raters(found)[0]
    assert np.isfinite(found.main["change"]).any()


def test_silent_images_are_left_out_and_named(x, raters):
    silent, n = x.copy(), 20
    silent[[3, 8]] = 0
    found = analyse(silent, raters, QUICK)
    assert found.n_undefined == 2 and 3 not in found.images and len(found.images) == 18
    i, j = np.triu_indices(n, 1)
    kept = np.isin(i, found.images) & np.isin(j, found.images)
    np.testing.assert_array_equal(found.raters, raters[:, kept])
    said = report.on_data(found, "acts", [f"<img {k}>" for k in range(n)])
    assert "2 images activate no node" in said[-1] and "<img 3>, <img 8>" in said[-1]


def test_a_draw_of_images_is_used_where_pairs_would_be_many(x, raters):
    found = analyse(x, raters, Settings(max_images=15, n_resamples=60, n_orders=20))
    assert len(found.images) == 15 and found.zeros.n_images == 20
    assert found.raters.shape == (4, 105)
    assert any("15 images drawn" in one for one in report.on_data(found, "a", ""))


def test_fewer_images_are_needed_for_larger_effects_and_narrower_intervals(judged):
    wide = judged.needed.pivot(index="rule", columns="effect", values="images")
    wide = wide.loc[judged.main["rule"]]
    main = judged.main.set_index("rule")
    factor = stats.norm.ppf(0.975) + stats.norm.ppf(0.9)
    n = 20 * (factor * main["error"] / 0.02) ** 2
    np.testing.assert_array_equal(wide[0.02], np.ceil(n))
    assert (wide[0.01] >= wide[0.05]).all()


def test_the_number_of_images_that_is_needed_suffices(rng):
    """Means of n normal values exclude an effect in four of five samples."""
    error, n = 0.1, 50
    row = pd.DataFrame({"rule": ["a"], "error": [error]})
    needed = own_network.needed_images(row, n).set_index("effect")["images"][0.05]
    estimate = rng.normal(scale=error * np.sqrt(n / needed), size=100_000)
    half = stats.norm.ppf(0.975) * error * np.sqrt(n / needed)
    inside = (np.abs(estimate) + half < 0.05).mean()
    assert inside == pytest.approx(own_network.POWER, abs=0.01)


# -------------------------------------------------------------------------- sentences
def test_words_follow_from_the_numbers(judged, alone):
    for one in (judged, alone):
        parts = (report.on_poz, report.on_curves, report.on_rules, report.on_needed)
        said = [
            s for part in (*parts, report.on_use, report.caveats) for s in part(one)
        ]
        assert all(s[0].isupper() or s[0] in "“0123456789" for s in said)
        assert not [s for s in said if not s.endswith(".") or re.search(r"\bnan\b", s)]
    assert "without" not in report.on_raters(judged)[0]
    assert report.on_raters(alone) == []


def test_a_conclusion_that_changes_with_the_measure_is_pointed_out(judged):
    rules = judged.rules.assign(verdict="neither")
    same = own_network.replace(judged, rules=rules)
    assert report.on_measures(same).startswith("Every rule has the same verdict")
    rules.loc[(rules["rule"] == "drop ghosts") & (rules.index < 6), "verdict"] = (
        "clear loss"
    )
    warning = report.on_measures(own_network.replace(judged, rules=rules))
    assert "changes with the measure" in warning
    assert "“drop ghosts”: 2 × clear loss, 10 × neither" in warning
    assert "20" not in warning


def test_a_reference_of_the_other_kind_is_suspected(x, raters):
    assert "dissimilarities" not in report.caveats(analyse(x, raters, QUICK))[0]
    assert "dissimilarities" in report.caveats(analyse(x, -raters, QUICK))[0]


def test_a_layer_without_zeros_is_pointed_out(x):
    found = analyse(x + 1, None, QUICK)
    assert "no ReLU" in report.on_poz(found)[0]
    assert all("drops nothing" in s for s in report.on_rules(found)[1:3])


# ------------------------------------------------------------------------------- file
@pytest.fixture
def files(x, raters, tmp_path):
    np.save(tmp_path / "acts.npy", x.astype(np.float32))
    np.savetxt(tmp_path / "judgments.csv", raters, delimiter=",")
    names = [f"<script>alert({k})</script>" for k in range(20)]
    (tmp_path / "labels.txt").write_text("\n".join(names))
    return tmp_path


def run(folder, *more):
    target = folder / "out.html"
    words = ["report", "--activations", str(folder / "acts.npy"), "--n-resamples", "60"]
    words += ["--n-orders", "20", "--target", str(target), *map(str, more)]
    command_line.main(words)
    return target.read_text("utf-8")


def test_the_file_is_complete_and_asks_for_nothing(files, capsys):
    judged = "--reference", files / "judgments.csv", "--reference-kind", "similarity"
    text = run(files, *judged, "--labels", files / "labels.txt")
    assert "The report is" in capsys.readouterr().out
    page = BeautifulSoup(text, "html.parser")
    assert not page.find_all(["script", "link", "iframe", "object"])
    assert "<script" not in text and "default-src 'none'" in text
    sources = [image["src"] for image in page.find_all("img")]
    assert len(sources) == 3 and all(image["alt"] for image in page.find_all("img"))
    links = {a["download"]: a["href"] for a in page.find_all("a")}
    assert all(uri.startswith("data:") for uri in [*sources, *links.values()])
    assert not [
        tag for tag in page.find_all() if any(k.startswith("on") for k in tag.attrs)
    ]
    saved = {
        k: base64.b64decode(v.partition(",")[2]).decode() for k, v in links.items()
    }
    numbers = json.loads(saved["report.json"])
    assert numbers["n_nodes"] == 60 and numbers["nodes"]["dead"] >= 5
    assert "<script>" in numbers["images_used"][0]
    frame = pd.read_csv(pd.io.common.StringIO(saved["rules.csv"]))
    expected = pd.DataFrame(numbers["rules"])["change"]
    np.testing.assert_allclose(frame["change"], expected, atol=1e-5)
    assert "--activations ACTIVATIONS" in numbers["provenance"]["command"]
    assert str(files) not in text
    hashed = data.file_sha256(files / "acts.npy")[:12]
    assert hashed in numbers["provenance"]["activations"]


def test_the_same_files_give_the_same_report(files):
    parts = [
        re.sub(r'data:application/json[^"]*"|<b>time.*?</li>', "", run(files))
        for _ in "ab"
    ]
    assert parts[0] == parts[1] and len(parts[0]) > 10_000


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--reference", "judgments.csv"], "kind must be"),
        (["--labels", "gone.txt"], "gone.txt does not exist"),
        (["--similarity", "angle"], "similarity must be one of"),
    ],
)
def test_what_is_wrong_ends_with_a_sentence(more, message, files):
    more = [files / word if Path(word).suffix else word for word in more]
    with pytest.raises(SystemExit, match=f"There is no report: .*{message}"):
        run(files, *more)
    assert not (files / "out.html").exists()


def test_the_example_is_used_without_files():
    given = inputs.load()
    assert given.values.shape == (92, 25088) and given.raters.shape == (16, 4186)
    assert len(given.labels) == 92
    with pytest.raises(Refused, match="without activations"):
        inputs.load(reference="judgments.csv")
