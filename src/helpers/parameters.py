"""Checks a notebook's parameters before anything is computed.

papermill only warns about a parameter it does not know and checks no type. A notebook therefore has, as its first two
code cells, the cell tagged ``parameters`` and a call of `check`; what papermill injects stands between them, so any
other name that exists by then is a misspelt parameter.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from types import ModuleType
from typing import Any

_SHELL = {"In", "Out", "get_ipython", "exit", "quit", "open"}


@dataclass(frozen=True)
class Rule:
    """What a parameter may be: a type, and a range or a list of values."""

    kind: type
    low: float | None = None
    high: float | None = None
    values: tuple = ()
    pattern: str = ""
    example: str = ""

    def complaint(self, value: Any) -> str | None:
        """What is wrong with ``value``, or None."""
        names = {Integral: "a whole number", Real: "a number", bool: "true or false", str: "text"}
        if not isinstance(value, self.kind) or (isinstance(value, bool) and self.kind is not bool):
            return f"must be {names[self.kind]}"
        if self.values and value not in self.values:
            return f"must be one of {', '.join(map(repr, self.values))}"
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"must be {self.example}"
        if self.low is not None and not self.low <= value <= self.high:
            return f"must lie in {self.low}..{self.high}"
        return None


def integer(low: int, high: int) -> Rule:
    """A whole number in low..high, both included."""
    return Rule(Integral, low, high)


def number(low: float, high: float) -> Rule:
    """A number in low..high, both included."""
    return Rule(Real, low, high)


def one_of(*values: str) -> Rule:
    """One of the given texts."""
    return Rule(str, values=values)


def scheduler() -> Rule:
    """Where workers are, for `pipeline.cluster.connect`."""
    return Rule(
        str,
        pattern=r"local|slurm|pbs|kubernetes|(tcp|tls)://[^\s/]+:[0-9]+",
        example="local, slurm, pbs, kubernetes or the address of a scheduler such as tcp://host:8786",
    )


def yes_or_no() -> Rule:
    """true or false."""
    return Rule(bool)


def check(namespace: Mapping[str, Any], **rules: Rule) -> None:
    """Raise unless ``namespace`` (a notebook's ``globals()``) holds exactly the parameters of ``rules``, each as ruled.

    Raises
    ------
    NameError : a name that is no parameter (with the parameter it resembles), or a parameter that is missing.
    ValueError : a parameter of the wrong type or out of range, with its value and what it may be.
    """
    given = {k: v for k, v in namespace.items() if not (k.startswith("_") or k in _SHELL or isinstance(v, ModuleType))}
    for name in given.keys() - rules.keys():
        close = difflib.get_close_matches(name, rules, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(rules)}."
        raise NameError(f"unknown parameter {name!r}; {hint}")
    for name, rule in rules.items():
        if name not in given:
            raise NameError(f"parameter {name!r} is missing from the cell tagged 'parameters'.")
        if complaint := rule.complaint(given[name]):
            raise ValueError(f"parameter {name} {complaint}; got {given[name]!r}.")
