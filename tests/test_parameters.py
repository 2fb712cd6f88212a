import types

import pytest

from helpers import parameters
from helpers.parameters import check, integer, number, one_of, yes_or_no

RULES = {"dataset": one_of("mnist", "cifar10"), "n_models": integer(1, 50), "level": number(0, 1), "train": yes_or_no()}
GOOD = {"dataset": "mnist", "n_models": 10, "level": 0.5, "train": False}


def test_good_parameters_pass_among_what_a_notebook_shell_defines():
    shell = {
        "In": [],
        "Out": {},
        "_": 1,
        "_i1": "x",
        "exit": print,
        "parameters": parameters,
        "np": types.ModuleType("np"),
    }
    check(GOOD | shell, **RULES)


def test_a_whole_number_is_a_number_and_bounds_are_included():
    check(GOOD | {"level": 1, "n_models": 50}, **RULES)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"datset": "mnist"}, NameError, "'datset'; did you mean 'dataset'"),
        ({"zzz": 1}, NameError, "'zzz'; there are: dataset, n_models"),
        ({"n_models": "10"}, ValueError, "n_models must be a whole number; got '10'"),
        ({"n_models": 2.0}, ValueError, "whole number; got 2.0"),
        ({"n_models": True}, ValueError, "whole number; got True"),
        ({"n_models": 0}, ValueError, r"n_models must lie in 1..50; got 0"),
        ({"level": float("nan")}, ValueError, "level must lie in"),
        ({"train": 1}, ValueError, "train must be true or false; got 1"),
        ({"dataset": "MNIST"}, ValueError, "one of 'mnist', 'cifar10'; got 'MNIST'"),
    ],
)
def test_a_bad_parameter_is_named_with_its_value(change, error, message):
    with pytest.raises(error, match=message):
        check(GOOD | change, **RULES)


def test_a_missing_parameter_is_named():
    with pytest.raises(NameError, match="'level' is missing"):
        check({k: v for k, v in GOOD.items() if k != "level"}, **RULES)


@pytest.mark.parametrize("value", ["local", "slurm", "pbs", "kubernetes", "tcp://10.0.0.1:8786", "tls://head.node:1"])
def test_schedulers_by_name_and_by_address(value):
    assert parameters.scheduler().complaint(value) is None


@pytest.mark.parametrize("value", ["Local", "tcp://host", "http://host:1", "tcp://a b:1", "", 3])
def test_other_schedulers_are_refused_with_what_is_possible(value):
    assert parameters.scheduler().complaint(value) in (
        "must be local, slurm, pbs, kubernetes or the address of a scheduler such as tcp://host:8786", "must be text",
    )  # fmt: skip
