"""Writes every model's keyword arguments as Python, for editors and type checkers: python tests/models/signatures.py

Type checkers don't run the program, so that the table of settings has to be spelled out for them. What is written is
never run: at run time `StoredModel.__init__` takes the settings, and `inspect` asks the table itself.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from milk_np.models.registry import MODELS, constructor_options, model_class, settings_class, trained
from milk_np.settings.option import Option
from milk_np.settings.signature import annotation

ROOT = Path(__file__).parents[2]
COMMAND = "python tests/models/signatures.py"
_HEAD = '''"""Keyword arguments of {models}, from the settings; `{command}` writes them."""

from __future__ import annotations

{imports}

{bases}if TYPE_CHECKING:
    from {settings_module} import {settings}
    from milk_np.settings.shared import Settings
'''
_CLASS = '''

class {model}Signature{base}:
    """What editors and type checkers see of {model}; at run time `StoredModel.__init__` takes the settings."""

    if TYPE_CHECKING:
        settings: {settings}

        def __init__(
            self,
            settings: Settings | None = None,
            *,
{arguments}
        ) -> None:
            """Settings by name; they change `settings` where that is given, too.

            Parameters
            ----------
            settings : settings of the model to start from
{described}
            """
            ...
'''


def files() -> dict[str, str]:
    """By path in the checkout, the text of every file of signatures."""
    homes: dict[str, list[str]] = {}
    for name in trained():
        homes.setdefault(MODELS[name].model.partition(":")[0], []).append(name)
    return {f"{home.replace('.', '/')}_signature.py": _file(names) for home, names in homes.items()}


def _file(names: list[str]) -> str:
    classes = [_class(name) for name in names]
    used = [word for word in ("Literal",) if any(word in text for text in classes)]
    imports = ["from collections.abc import Sequence"] if any("Sequence[" in text for text in classes) else []
    settings_module = MODELS[names[0]].settings.partition(":")[0]
    head = _HEAD.format(
        models=" and ".join(_model(name) for name in names),
        command=COMMAND,
        imports="\n".join([*imports, f"from typing import {', '.join(['TYPE_CHECKING', *used])}"]),
        settings_module=settings_module,
        bases="".join(_import(name, names) for name in names),
        settings=", ".join(sorted(MODELS[name].settings.partition(":")[2] for name in names)),
    )
    return head + "".join(classes)


def _model(name: str) -> str:
    return MODELS[name].model.partition(":")[2]


def _parent(name: str) -> str:
    """The model that the model is a special case of, if it is one: so is its signature."""
    others = {model_class(other): other for other in trained() if other != name}
    return next((others[cls] for cls in model_class(name).__mro__ if cls in others), "")


def _import(name: str, here: list[str]) -> str:
    """The import of the parent's signature from another file."""
    parent = _parent(name)
    if not parent or parent in here:
        return ""
    return f"from {MODELS[parent].model.partition(':')[0]}_signature import {_model(parent)}Signature\n\n"


def _class(name: str) -> str:
    options, defaults = constructor_options(name), settings_class(name)().to_dict()
    return _CLASS.format(
        model=_model(name),
        settings=MODELS[name].settings.partition(":")[2],
        base=f"({_model(_parent(name))}Signature)" if _parent(name) else "",
        arguments="\n".join(f"{' ' * 12}{_argument(key, options[key], defaults[key])}," for key in options),
        described="\n".join(_described(options)),
    )


def _argument(name: str, option: Option, default: object) -> str:
    return f"{name}: {annotation(option)[0]} = {_source(default)}"


def _source(value: object) -> str:
    """A default as the formatter writes it."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _described(options: Mapping[str, Option]) -> list[str]:
    lines = []
    for name, option in options.items():
        unset = f" (None: {option.none})" if option.none else ""
        lines.append(f"{' ' * 12}{name} : {_kind(option)}")
        indent = " " * 16
        lines += textwrap.wrap(
            option.help + unset, 120, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
    return lines


def _kind(option: Option) -> str:
    """The type in words, choices in braces."""
    return f"{{{', '.join(option.choices)}}}" if option.choices and not option.number else annotation(option)[0]


def main() -> None:
    """Write all of them."""
    for path, text in files().items():
        (ROOT / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
