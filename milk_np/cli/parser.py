"""The parser of every command: it explains mistakes, and turns settings into options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, cast

from milk_np.errors import EXIT_CODES
from milk_np.models import registry
from milk_np.settings.option import Option, Value
from milk_np.settings.shared import Settings
from milk_np.text import VERSION, nearest


class Parser(argparse.ArgumentParser):
    """Argument parser without abbreviations; for an unknown option, the error names the most similar one."""

    foreign: Callable[[str], str | None]
    """The error for an option that belongs to another model or command; None if none has it."""

    def __init__(self, prog: str, description: str, examples: Sequence[str] = ()) -> None:
        self.foreign = _of_training
        epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples) if examples else ""
        super().__init__(
            prog=prog,
            usage="%(prog)s [options]",
            description=description,
            epilog=f"{epilog}\n\n{_exit_codes()}".strip(),
            allow_abbrev=False,
            formatter_class=_Formatter,
        )
        self.add_argument("--version", action="version", version=f"milk_np {VERSION}")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Parse; before that, report the first unknown option and join negative numbers to their options."""
        line = list(sys.argv[1:] if args is None else args)
        self._refuse_unknown(line)
        return super().parse_args(_join_negatives(line), namespace)

    def error(self, message: str) -> NoReturn:
        """Print the message and how to get help, and exit with 2."""
        self.exit(2, f"{self.prog}: error: {message}\nSee {self.prog} --help.\n")

    def _refuse_unknown(self, line: Sequence[str]) -> None:
        for part in line:
            name = part.partition("=")[0]
            if part == "--":
                return
            if part.startswith("--") and name not in self._option_string_actions:
                unknown = f"unknown option {name}{nearest(name, self._option_string_actions)}"
                self.error(self.foreign(name.removeprefix("--")) or unknown)


def _exit_codes() -> str:
    return "exit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())


def _of_training(spelling: str) -> str | None:
    """The error for a setting of training in a command that doesn't take it."""
    setting = registry.spellings().get(spelling)
    if setting is None:
        return None
    spaces = (registry.settings_class(name)().tuning_space() for name in registry.MODELS)
    searched = ", and milk-tune searches it" if any(setting in space for space in spaces) else ""
    return f"unknown option --{spelling}; it is a setting of milk-train{searched}"


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with room for long option names; examples are kept as written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)


def add_settings(
    parser: argparse.ArgumentParser,
    names: Iterable[str] | None = None,
    of: type[Settings] = Settings,
    changed: Mapping[str, object] | None = None,
    replaced: Mapping[str, Option] | None = None,
) -> None:
    """Add the options of the settings `of` a model (all, or those named), grouped, with their defaults in the help.

    `changed` has the defaults that the command changes, `replaced` the options that it accepts or describes otherwise.
    An option that isn't given sets no attribute, so that a file's value is kept.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}
    table, defaults = {**of.options(), **(replaced or {})}, of(**cast(dict[str, Any], changed or {}))
    for name in table if names is None else names:
        option = table[name]
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        groups[option.group].add_argument(
            *_flags(name, option),
            dest=name,
            type=_converter(option),
            default=argparse.SUPPRESS,
            metavar=_metavar(option),
            help=_help(option, getattr(defaults, name)),
        )


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and `--quiet`."""
    parser.add_argument("--config", metavar="FILE.toml", help="settings file; the command line overrides it")
    parser.add_argument("--quiet", action="store_true", help="print errors only")


def _flags(name: str, option: Option) -> list[str]:
    return [f"--{name.replace('_', '-')}", *(f"--{alias}" for alias in option.aliases)]


def _converter(option: Option) -> Callable[[str], Value]:
    def convert(text: str) -> Value:
        try:
            return option.from_text(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _metavar(option: Option) -> str:
    if option.metavar:
        return option.metavar
    return "|".join(option.choices) or {int: "N", float: "X", str: "NAME"}[option.type]


def _help(option: Option, default: object) -> str:
    return f"{option.help} (default: {_shown(option, default)})".replace("%", "%%")


def _shown(option: Option, default: object) -> str:
    if default is None:
        return option.none
    if not default and option.nothing:
        return option.nothing
    return (",".join(map(str, default)) if isinstance(default, tuple) else str(default)) or "none"


def _join_negatives(line: Sequence[str]) -> list[str]:
    """`--lr -1e-3` as `--lr=-1e-3`: argparse would take such a number for an option."""
    joined: list[str] = []
    for part in line:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and _is_negative(part):
            joined[-1] += f"={part}"
        else:
            joined.append(part)
    return joined


def _is_negative(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.startswith("-")
