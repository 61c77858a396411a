"""What every command shares: a parser that explains mistakes, settings from file and line, exit codes."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import NoReturn

from milk_np.errors import DataError, MilkError, MissingExtraError, OutOfMemoryError, SettingsError
from milk_np.machine import threads
from milk_np.machine.environment import CORE
from milk_np.machine.threads import last_value
from milk_np.models import registry
from milk_np.settings.names import MASK
from milk_np.settings.option import Option, Value
from milk_np.settings.shared import Settings, normal_keys
from milk_np.settings.toml import read_toml
from milk_np.text import VERSION, nearest

EXIT_UNEXPECTED = 1
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

EXIT_CODES = (
    "exit codes: 0 done, 1 unexpected error, 2 wrong option or setting, 3 unusable data or file, "
    "4 training diverged, 5 device or memory, 130 interrupted (after saving)"
)


class Parser(argparse.ArgumentParser):
    """Argument parser without abbreviations, whose errors name the nearest right option."""

    foreign: Callable[[str], str | None]
    """What is wrong with an option of this spelling that belongs elsewhere; None if nothing knows it."""

    def __init__(self, prog: str, description: str, examples: Sequence[str] = ()) -> None:
        self.foreign = lambda name: None
        epilog = "examples:\n" + "\n".join(f"  {line}" for line in examples) if examples else ""
        super().__init__(
            prog=prog,
            usage="%(prog)s [options]",
            description=description,
            epilog=f"{epilog}\n\n{textwrap.fill(EXIT_CODES, 100)}".strip(),
            allow_abbrev=False,
            formatter_class=_Formatter,
        )
        self.add_argument("--version", action="version", version=f"milk_np {VERSION}")

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Parse, after naming the first unknown option and joining negative numbers to their options."""
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


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help with room for long option names, examples kept as written."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=110)


def add_settings(
    parser: argparse.ArgumentParser, names: Iterable[str] | None = None, of: type[Settings] = Settings
) -> None:
    """Add the options of the settings `of` a model (all, or those named), grouped, with their defaults in the help.

    An option that isn't given leaves no attribute, so that a file's value can stand.
    """
    groups: dict[str, argparse._ArgumentGroup] = {}
    table, defaults = of.options(), of()
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


def add_model_settings(parser: Parser, line: Sequence[str]) -> None:
    """Add the settings of the model that `line`, or the file that it names, chooses; those of others are refused."""
    name = _chosen_model(line)
    if registry.settings_class(name).kind == "untrained":
        raise SettingsError(
            f"model (--model): {name} needs no training, expected one of {', '.join(registry.trained())}; "
            f"score it with milk-evaluate --model {name}"
        )
    add_settings(parser, of=registry.settings_class(name))
    for option in ("--model", "--preset"):  # what they accept decides which options there are: checked by then
        parser._option_string_actions[option].type = None
    parser._option_string_actions["--model"].metavar = "|".join(registry.trained())

    def foreign(spelling: str) -> str | None:
        setting = registry.spellings().get(spelling)
        return None if setting is None else registry.foreign_text(setting, name)

    parser.foreign = foreign


def _chosen_model(line: Sequence[str]) -> str:
    given = {name: last_value(line, f"--{name}") for name in ("model", "preset", "config")}
    stated = {name: given[name] for name in ("model", "preset") if given[name] is not None}
    file = _file_values(given["config"]) if given["config"] else {}
    return registry.named(_over(file, stated))


def read_settings(
    given: argparse.Namespace, base: Mapping[str, object] | None = None, model: str | None = None
) -> Settings:
    """Settings of `base`, overridden by the file of `--config`, overridden by the command line.

    `model` is whose settings they are; otherwise the values say. The model that a preset of the file stands for goes
    with it when the line names another preset. A file may name other models' settings as long as it leaves them at
    their defaults, as version 0.1.0 wrote them.
    """
    line, path = given_settings(given), getattr(given, "config", None)
    file = _file_values(path) if path is not None else {}
    values = _over(_over(dict(base or {}), file), line)
    name = model or registry.named(values)
    mine = {k: v for k, v in values.items() if k in line or not _idle(k, v, name)}
    if path is not None:
        _check_file(path, {k: v for k, v in file.items() if k in mine and k not in line}, name)
    return registry.make_settings({**mine, "model": name})


def _over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """`below`, overridden by `above`; a preset above takes away the model that a preset below stood for."""
    kept = dict(below)
    if "preset" in above and "model" not in above and "preset" in kept and "model" in kept:
        if above["preset"] not in registry.settings_class(str(kept["model"])).presets:
            del kept["model"]
    elif "model" in above and "preset" not in above:
        kept.pop("preset", None) if "preset" in kept and _stands_for_other(kept, str(above["model"])) else None
    return {**kept, **above}


def _stands_for_other(values: Mapping[str, object], name: str) -> bool:
    return name in registry.MODELS and values["preset"] not in registry.settings_class(name).presets


def _idle(setting: str, value: object, name: str) -> bool:
    """Whether a value is another model's, at its default."""
    if setting in registry.settings_class(name).options():
        return False
    first = registry.settings_class(registry.owners(setting)[0])
    return bool(first.options()[setting].check(value) == getattr(first(), setting))


def given_settings(given: argparse.Namespace) -> dict[str, object]:
    """The settings that the command line names."""
    known = set(registry.spellings().values())
    return {name: value for name, value in vars(given).items() if name in known}


def refuse_idle_mask(given: argparse.Namespace, settings: Settings) -> None:
    """Raise SettingsError for rates of missing modalities that nothing would apply."""
    idle = [name for name in MASK[1:] if name in given_settings(given)]
    if idle and settings.protocol is None:
        raise SettingsError(
            f"--{idle[0].replace('_', '-')}: has no effect on the mask stored in the data; add --protocol"
        )


def run_command(program: str, body: Callable[[list[str]], int], argv: Sequence[str] | None = None) -> int:
    """Run a command's body and turn what it raises into a message on stderr and an exit code.

    Threads are settled first, so the body has to import NumPy and Numba itself. SIGTERM and SIGHUP interrupt as Ctrl-C
    does.
    """
    line = list(sys.argv[1:] if argv is None else argv)
    threads.prepare(line)
    previous = {number: _handle(number, _interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        code = body(line)
        sys.stdout.flush()
        return code
    except (Exception, KeyboardInterrupt) as error:
        return _answer(program, error)
    finally:
        for number, handler in previous.items():
            _handle(number, handler)


def _answer(program: str, error: BaseException) -> int:
    """Say what went wrong and what to do; return the exit code."""
    match error:
        case MilkError():
            return _fail(program, str(error), error.exit_code)
        case MemoryError():
            message = f"out of memory ({error}); use a smaller --batch-size or --dim"
            return _fail(program, message, OutOfMemoryError.exit_code)
        case KeyboardInterrupt():
            return _fail(program, str(error) or "interrupted", EXIT_INTERRUPTED)
        case BrokenPipeError():
            return _leave_pipe()
        case OSError():
            return _fail(program, _explain(error), DataError.exit_code)
        case ModuleNotFoundError() if error.name in CORE:
            message = f"{sys.executable} has no {error.name}; install milk_np there, or use another Python"
            return _fail(program, message, MissingExtraError.exit_code)
    traceback.print_exception(error)
    return _fail(program, "unexpected error; please report it with the lines above", EXIT_UNEXPECTED)


def _file_values(path: str) -> dict[str, object]:
    return normal_keys(read_toml(path), registry.spellings(), f"{path}: key")


def _check_file(path: str, values: Mapping[str, object], name: str) -> None:
    """Errors of a file's own values name the file."""
    try:
        registry.refuse_foreign(values, name)
        registry.settings_class(name)(**{k: v for k, v in values.items() if k != "model"})  # type: ignore[arg-type]
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from None


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
    if isinstance(default, tuple):
        default = ",".join(map(str, default)) or "none"
    shown = option.none if default is None else default
    return f"{option.help} (default: {shown})".replace("%", "%%")


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


def _explain(error: OSError) -> str:
    name = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{name}the disk is full; free space or choose another --out (files already there are whole)"
    return f"{name}{error.strerror or error}; check the path and its permissions"


def _fail(program: str, message: str, code: int) -> int:
    print(f"{program}: error: {message}", file=sys.stderr)
    return code


def _leave_pipe() -> int:
    """The reader of stdout went away: keep the interpreter from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_BROKEN_PIPE


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt("terminated")


def _handle(number: int, handler: object) -> object:
    """Install a signal's handler where that is possible (the main thread) and it isn't ignored; return the previous."""
    if signal.getsignal(number) == signal.SIG_IGN:
        return None
    try:
        return signal.signal(number, handler)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        return None
