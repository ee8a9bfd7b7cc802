"""Public classes and functions show how they are used, and the examples are right."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import ddmi_fields

MODULES = sorted(module.name for module in pkgutil.iter_modules(ddmi_fields.__path__))
NO_EXAMPLE = {"ReadOut", "ReadOutConfig"}
"""Errors, protocols and abstract classes: what is made of them has one."""


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_right(name: str) -> None:
    module = importlib.import_module(f"ddmi_fields.{name}")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_what_is_public_has_an_example() -> None:
    public = {name: getattr(ddmi_fields, name) for name in ddmi_fields.__all__}
    lacking = {
        name
        for name, one in public.items()
        if inspect.isroutine(one) or inspect.isclass(one)
        if ">>>" not in "".join(inspect.getdoc(member) or "" for member in (one, *vars(one).values()))
    }
    assert lacking == NO_EXAMPLE
