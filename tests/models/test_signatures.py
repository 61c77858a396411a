"""Every model's constructor says which settings it takes: to `inspect`, to editors and to type checkers."""

from __future__ import annotations

import ast
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pytest
import signatures

import milk_np
from milk_np.errors import SettingsError
from milk_np.models.registry import MODELS, constructor_options, model_class, settings_class, trained
from milk_np.settings.signature import annotation

ROOT = Path(milk_np.__file__).parents[1]


def written(name: str) -> ast.FunctionDef:
    """The constructor that type checkers see."""
    home, _, cls = MODELS[name].model.partition(":")
    text = (ROOT / f"{home.replace('.', '/')}_signature.py").read_text(encoding="utf-8")
    (made,) = (
        node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == f"{cls}Signature"
    )
    return next(node for node in ast.walk(made) if isinstance(node, ast.FunctionDef))


def test_the_files_are_those_of_the_settings() -> None:
    for path, text in signatures.files().items():
        assert (ROOT / path).read_text(encoding="utf-8") == text, f"{path} is out of date: {signatures.COMMAND}"


@pytest.mark.parametrize("name", trained())
def test_inspect_shows_every_setting_with_type_and_default(name: str) -> None:
    cls, usual, options = model_class(name), settings_class(name)(), constructor_options(name)
    first, *others = signature(cls).parameters.values()
    assert (first.name, first.default, first.kind) == ("settings", None, Parameter.POSITIONAL_OR_KEYWORD)
    assert [one.name for one in others] == list(options)
    for one in others:
        assert one.kind == Parameter.KEYWORD_ONLY
        assert one.default == getattr(usual, one.name)
        assert one.annotation == annotation(options[one.name])[1]
        assert cls(**{one.name: one.default}).settings == usual


@pytest.mark.parametrize("name", trained())
def test_type_checkers_see_the_same(name: str) -> None:
    taken, shown = written(name).args, signature(model_class(name)).parameters
    assert [one.arg for one in taken.kwonlyargs] == list(shown)[1:]
    for one, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True):
        assert default is not None
        assert one.annotation is not None
        assert ast.literal_eval(default) == shown[one.arg].default
        assert ast.unparse(one.annotation).replace("'", '"') == annotation(constructor_options(name)[one.arg])[0]
    assert any(base.__name__ == f"{model_class(name).__name__}Signature" for base in model_class(name).__mro__)


def test_a_model_outside_of_the_table_shows_what_python_sees() -> None:
    class Unlisted(model_class("milk")):  # type: ignore[misc]
        name = "unlisted"

    assert list(signature(Unlisted).parameters) == ["settings", "options"]


@pytest.mark.parametrize(
    ("name", "wrong", "near"),
    [
        ("milk", "dimm", "did you mean dim?"),
        ("milk", "max_epoch", "did you mean max_epochs?"),
        ("milk", "learningrate", "did you mean learning_rate?"),
        ("kernel-profile", "landmark", "did you mean landmarks?"),
        ("heater", "alpa", "did you mean alpha?"),
        ("ridge", "content_rigde", "did you mean content_ridge?"),
        ("ridge", "xyzzy", "ridge has no such setting"),
    ],
)
def test_a_wrong_keyword_names_the_nearest(name: str, wrong: str, near: str) -> None:
    with pytest.raises(SettingsError) as caught:
        model_class(name)(**{wrong: 1})  # type: ignore[call-arg]
    assert str(caught.value).startswith(f"{wrong}: {name} has no such setting")
    assert near in str(caught.value)


@pytest.mark.parametrize("name", MODELS)
def test_settings_show_their_fields(name: str) -> None:
    cls: Any = settings_class(name)
    shown, usual = signature(cls).parameters, cls().to_dict()
    assert {one.name: one.default for one in shown.values()} == usual


def test_the_package_names_what_it_has() -> None:
    names = dir(milk_np)
    assert {"Dataset", "evaluate", "load", "Listener", "show_progress"} <= set(names)
    for name in MODELS:
        cls = model_class(name)
        assert getattr(milk_np, cls.__name__) is cls
        assert cls.__name__ in milk_np.__all__
    for name in milk_np.__all__:
        assert name in names
        assert getattr(milk_np, name) is not None
    typed = ast.parse(Path(milk_np.__file__).read_text(encoding="utf-8"))
    branch = next(node for node in typed.body if isinstance(node, ast.If))
    seen = {alias.name for node in ast.walk(branch) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"__version__"} == set(milk_np.__all__)
