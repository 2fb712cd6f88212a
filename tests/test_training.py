import numpy as np
import pytest

torch = pytest.importorskip("torch")

from helpers import datasets, training  # noqa: E402
from pipeline.training import Recipe  # noqa: E402

TINY = Recipe(epochs=1, batch_size=50)


@pytest.fixture
def small(monkeypatch):
    """The shipped MNIST sample cut to 300 training and 200 test images."""
    whole = datasets.load_sample("mnist")
    images = datasets.ImageSet(
        "mnist", whole.x_train[:300], whole.y_train[:300], whole.x_test[:200], whole.y_test[:200], whole.classes,
        whole.index_train[:300], whole.index_test[:200],
    )  # fmt: skip
    monkeypatch.setattr(training.datasets, "load_sample", lambda name: images)
    return images


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_same_seed_same_bits_other_seed_other_model(small):
    first, again, other = (
        training.train_model("mnist", small.x_train, small.y_train, seed, TINY).state_dict() for seed in (1, 1, 2)
    )
    assert same(first, again) and not same(first, other)


@pytest.mark.slow
def test_number_of_workers_changes_no_bit(tmp_path):
    states = []
    for n_workers in (1, 2):
        paths = training.train_ensemble("mnist", [0, 1], tmp_path / str(n_workers), TINY, "shipped", n_workers)
        states.append([training._load(path)[0] for path in paths])
    assert all(same(a, b) for a, b in zip(*states, strict=True))


def test_batch_training_follows_one_by_one_training(small):
    recipe = Recipe(epochs=1, batch_size=100)  # three steps: rounding has not grown yet
    stacked = training.train_batch("mnist", small.x_train, small.y_train, [4, 9], recipe)
    for i, seed in enumerate([4, 9]):
        alone = training.train_model("mnist", small.x_train, small.y_train, seed, recipe).state_dict()
        for name, value in alone.items():
            torch.testing.assert_close(stacked[name][i], value, rtol=1e-3, atol=2e-5)


def test_compiled_batch_training_is_the_same_program(small, monkeypatch):
    """What the compiler is given can be traced as a whole; its graphs for a GPU cannot be had here."""
    asked, compiler = [], torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda f, **options: asked.append(options) or compiler(f, backend="aot_eager", fullgraph=True)
    )
    training._gradients.cache_clear()
    arguments = "mnist", small.x_train, small.y_train, [4, 9], Recipe(epochs=1, batch_size=100)
    compiled = training.train_batch(*arguments, compiled=True)
    training._gradients.cache_clear()
    assert asked == [{"mode": "reduce-overhead", "fullgraph": True}]
    for name, value in training.train_batch(*arguments).items():
        torch.testing.assert_close(compiled[name], value, rtol=1e-4, atol=1e-6)


def test_training_learns(small):
    recipe = Recipe(epochs=20)
    model = training.train_model("mnist", small.x_train, small.y_train, 0, recipe)
    assert training.accuracy(model, "mnist", small.x_test, small.y_test) > 0.7


def test_a_stopped_run_goes_on_with_the_missing_models(small, tmp_path, monkeypatch):
    first = training.train_ensemble("mnist", [0], tmp_path, TINY, "shipped", 1)
    trained = []
    original = training.train_model

    def spy(*arguments):
        trained.append(arguments[3])
        return original(*arguments)

    monkeypatch.setattr(training, "train_model", spy)
    both = training.train_ensemble("mnist", [0, 1], tmp_path, TINY, "shipped", 1)
    assert trained == [1] and both[0] == first[0]


def test_a_failing_run_leaves_no_half_written_model(small, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(training, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        training.train_ensemble("mnist", [0], tmp_path, TINY, "shipped", 1)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_stored_model_is_the_evaluated_one(small, tmp_path):
    path = training.train_ensemble("mnist", [0], tmp_path, TINY, "shipped", 1)[0]
    ensemble = training.stack("mnist", [path])
    training.save_ensemble(ensemble, tmp_path / "packed.safetensors")
    loaded = training.load_ensemble(tmp_path / "packed.safetensors")
    model = training.model_from("mnist", {name: value[0] for name, value in loaded.parameters.items()})
    assert all(value.dtype == torch.float16 for value in loaded.parameters.values())
    assert training.accuracy(model, "mnist", small.x_test, small.y_test) == loaded.accuracy[0]


def test_embeddings_of_an_ensemble_are_those_of_its_models_one_by_one(small, tmp_path):
    ensemble = training.stack("mnist", training.train_ensemble("mnist", [0, 1], tmp_path, TINY, "shipped", 1))
    together = training.ensemble_embeddings(ensemble, small.x_test)
    assert together.shape == (2, 200, 84) and (together >= 0).all() and (together == 0).any()
    single = training.stack("mnist", sorted(tmp_path.rglob("*.safetensors"))[1:])
    np.testing.assert_array_equal(training.ensemble_embeddings(single, small.x_test)[0], together[1])


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_shipped_ensemble_has_fifty_models_of_typical_accuracy(dataset):
    ensemble = training.ensemble(dataset, 50)
    assert ensemble.seeds.tolist() == list(range(50))
    assert ensemble.accuracy.mean() > {"mnist": 0.985, "cifar10": 0.63}[dataset]
    assert ensemble.origin["training_images"] == datasets.SHA256[dataset]["x_train"]


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_shipped_models_reach_their_stated_accuracy_on_the_shipped_images(dataset):
    ensemble, images = training.ensemble(dataset, 2), datasets.load_sample(dataset)
    for i, stated in enumerate(ensemble.accuracy):
        model = training.model_from(dataset, {name: value[i] for name, value in ensemble.parameters.items()})
        found = training.accuracy(model, dataset, images.x_test, images.y_test)
        error = np.sqrt(stated * (1 - stated) / len(images.x_test))
        assert abs(found - stated) < (3e-4 if dataset == "mnist" else 4 * error)  # MNIST: the same 10,000 images


def test_more_models_than_there_are_is_an_error():
    with pytest.raises(ValueError, match=r"n_models must lie in 1..50.*got 80"):
        training.ensemble("mnist", 80)
