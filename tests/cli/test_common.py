"""What all commands share: parsing, precedence of settings, exit codes."""

from __future__ import annotations

import argparse
import errno
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milk_np import errors
from milk_np.cli import evaluate, recommend, reproduce, train, tune
from milk_np.cli.common import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, EXIT_UNEXPECTED, run_command
from milk_np.cli.parser import Parser, add_common, add_settings
from milk_np.cli.settings import given_settings, read_settings
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import MODELS, settings_class


def parser() -> Parser:
    parser = Parser("milk-test", "Test.", ["milk-test --lr .1"])
    add_common(parser)
    add_settings(parser, of=MilkSettings)
    return parser


def parse(*line: str) -> argparse.Namespace:
    return parser().parse_args(line)


def refused(capsys: pytest.CaptureFixture[str], *line: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(*line)
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("spelling", MilkSettings.spellings())
def test_every_spelling_of_every_setting_is_an_option(spelling: str) -> None:
    name = MilkSettings.spellings()[spelling]
    default = getattr(MilkSettings(), name)
    text = {"missing_mix": ".5,.5", "without": "cmam"}.get(name, default)
    text = MilkSettings.options()[name].choices[0] if text is None else text
    shown = ",".join(map(str, text)) if isinstance(text, tuple) else str(text)
    read = given_settings(parse(f"--{spelling}", shown))
    assert list(read) == [name]
    MilkSettings(**read)  # type: ignore[arg-type]


def test_options_that_are_not_given_leave_no_trace() -> None:
    assert given_settings(parse()) == {}
    assert read_settings(parse()) == MilkSettings()


def test_help_shows_groups_defaults_choices_examples_and_exit_codes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    for text in ("objective:", "(default: 0.001)", "paper|reference", "milk-test --lr .1", "exit codes:\n  0    done"):
        assert text in shown


def test_help_says_how_to_see_the_options_of_other_models(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--help"])
    assert "--model NAME --help (or --preset best --help) those of another model" in capsys.readouterr().out


@pytest.mark.parametrize("name", MODELS)
def test_every_default_is_said(name: str) -> None:
    shown = Parser("milk-test", "Test.")
    add_settings(shown, of=settings_class(name))
    assert "(default: )" not in shown.format_help()


def test_what_is_chosen_from_the_data_is_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.main(["--preset", "best", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    chosen = {"--memory": "no limit"} | dict.fromkeys(("--kernel-noise", "--modality-weights", "--whitening"), "chosen")
    assert "imputed for the content profile that the model is compared with (default: mean)" in shown
    for option, default in chosen.items():
        found = re.search(rf"{option} [^(]*\(default: ([^)]*)\)", shown)
        assert found is not None
        assert found[1] == default


@pytest.mark.parametrize(
    ("option", "right"),
    [
        ("--batchsize", "--batch-size"),
        ("--epoch", "--epochs"),
        ("--learning_rate", "--learning-rate"),
        ("--penalty-coef=3", "--penalty-coeff"),
        ("--protocoll", "--protocol"),
    ],
)
def test_an_unknown_option_names_the_nearest_right_one(
    capsys: pytest.CaptureFixture[str], option: str, right: str
) -> None:
    message = refused(capsys, option, "3")
    assert f"unknown option {option.partition('=')[0]}; did you mean {right}?" in message
    assert "See milk-test --help." in message


@pytest.mark.parametrize("command", [tune, recommend, evaluate, reproduce])
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--lr", "--lr; it is a setting of milk-train, and milk-tune searches it\n"),
        ("--penalty-coeff", "--penalty-coeff; it is a setting of milk-train, and milk-tune searches it\n"),
        ("--risk", "--risk; it is a setting of milk-train\n"),
        ("--landmarks", "--landmarks; it is a setting of milk-train\n"),
    ],
)
def test_a_setting_of_training_is_told_as_such(
    capsys: pytest.CaptureFixture[str], command: ModuleType, option: str, message: str
) -> None:
    with pytest.raises(SystemExit):
        command.main([option, "3"])
    assert f"error: unknown option {message}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--xy", "--zebra", "--halp-me-please"])
def test_no_option_is_suggested_that_is_not_like_it(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert "did you mean" not in refused(capsys, option)


def test_options_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean --quiet" in refused(capsys, "--quie")


@pytest.mark.parametrize("text", ["-1", "-0.5", "-1e-3", "-inf", "nan", "inf", "abc", "0", ""])
def test_an_impossible_number_is_shown_with_what_is_expected(capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert "--lr/--learning-rate: got" in (message := refused(capsys, "--lr", text))
    assert "expected a finite number above 0" in message


def test_an_option_without_its_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--lr" in refused(capsys, "--lr")
    assert "unrecognized arguments: stray" in refused(capsys, "stray")


def test_the_line_overrides_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('lr = 0.5\nbatch-size = 7\nalpha = 2\nprotocol = "MTMT"\n')
    settings = read_settings(parse("--config", str(file), "--lr", "0.25"), base={"lr": 9.0, "max_epochs": 11})
    assert (settings.lr, settings.batch_size, settings.dirichlet_alpha) == (0.25, 7, 2.0)
    assert (settings.protocol, settings.max_epochs, settings.dim) == ("MTMT", 11, 64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batchsize = 3", "key 'batchsize' is unknown; did you mean batch-size"),
        ("lr = -1", r"lr \(--lr\): got -1"),
        ("lr = nan", r"lr \(--lr\): got nan"),
        ('dim = "64"', r"dim \(--dim\): got '64'"),
        ("dim = true", r"dim \(--dim\): got True"),
    ],
)
def test_a_mistake_in_the_file_names_the_file_and_the_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.toml"
    file.write_text(text)
    with pytest.raises(errors.SettingsError, match=message) as caught:
        read_settings(parse("--config", str(file)))
    assert str(file) in str(caught.value)


def raising(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    def body(_line: list[str]) -> int:
        raise error

    return run_command("milk-test", body, []), capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (errors.SettingsError("bad lr"), 2, "bad lr"),
        (errors.MissingExtraError("no pyarrow"), 2, "no pyarrow"),
        (errors.DataError("bad file"), 3, "bad file"),
        (errors.ModalityError("bad image"), 3, "bad image"),
        (errors.DivergedError("nan at 3"), 4, "nan at 3"),
        (errors.DeviceError("no GPU"), 5, "no GPU"),
        (errors.OutOfMemoryError("too large"), 5, "too large"),
        (ModuleNotFoundError("x", name="numba"), 2, "has no numba; install milk_np there"),
        (MemoryError("3 GB"), 5, "out of memory (3 GB)"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device", "out.npz"), 3, "out.npz: the disk is full"),
        (
            PermissionError(errno.EACCES, "Permission denied", "out"),
            3,
            "out: Permission denied; check the path",
        ),
        (OSError("odd"), 3, "odd"),
    ],
)
def test_each_cause_has_its_exit_code_and_message(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str
) -> None:
    returned, shown = raising(error, capsys)
    assert returned == code
    assert shown.startswith("milk-test: error: ")
    assert text in shown
    assert "Traceback" not in shown


def test_every_exit_code_is_in_the_table() -> None:
    kinds = [made for made in vars(errors).values() if isinstance(made, type) and issubclass(made, errors.MilkError)]
    codes = {kind.exit_code for kind in kinds} | {EXIT_UNEXPECTED, EXIT_INTERRUPTED, EXIT_BROKEN_PIPE}
    assert codes | {0} == errors.EXIT_CODES.keys()


@pytest.mark.parametrize("error", [ZeroDivisionError("surprise"), ModuleNotFoundError("x", name="milk_np.gone")])
def test_an_unexpected_error_shows_where_it_came_from(capsys: pytest.CaptureFixture[str], error: Exception) -> None:
    code, shown = raising(error, capsys)
    assert code == 1
    assert "Traceback" in shown
    assert "please report it" in shown


@given(st.integers(0, 255))
def test_a_body_that_returns_decides_the_code(code: int) -> None:
    assert run_command("milk-test", lambda _line: code, []) == code


SCRIPT = """
import signal, sys, time
from milk_np.cli.common import run_command
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell started the tests in the background
def body(line):
    for number in range(200_000):
        print(number)
    sys.stdout.flush()
    time.sleep(20 if line else 0)
    return 0
sys.exit(run_command("milk-test", body))
"""


def start(*line: str, stdout: int | None = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *line], stdout=stdout, stderr=subprocess.PIPE, text=True)


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    with start() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_output_to_a_full_device_is_reported() -> None:
    with open("/dev/full", "w") as full, start(stdout=full.fileno()) as process:
        assert process.stderr is not None
        shown = process.stderr.read()
    assert "the disk is full" in shown
    assert "Traceback" not in shown
    assert process.returncode == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts(number: signal.Signals) -> None:
    with start("wait") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while process.stdout.readline() != "199999\n":
            pass
        time.sleep(0.2)
        process.send_signal(number)
        assert "milk-test: error:" in process.stderr.read()
    assert process.returncode == 130


def test_threads_are_settled_before_the_body_runs() -> None:
    code = (
        "import os, sys; from milk_np.cli.common import run_command\n"
        "sys.exit(run_command('milk-test', lambda line: int(os.environ['NUMBA_NUM_THREADS'])))"
    )
    assert subprocess.run([sys.executable, "-c", code, "--threads", "3"], check=False).returncode == 3


def test_a_word_that_two_models_use_is_that_of_the_chosen_one(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("alpha = 0.5\n")  # MILK's dirichlet_alpha under its earlier name, and Heater's own setting
    chosen = [read_settings(argparse.Namespace(config=str(file)), {"model": name}) for name in ("milk", "heater")]
    assert [settings.to_dict().get("dirichlet_alpha") for settings in chosen] == [0.5, None]
    assert chosen[1].to_dict()["alpha"] == 0.5


def test_an_error_during_an_interruption_counts_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    def body(_line: list[str]) -> int:
        try:
            raise KeyboardInterrupt("terminated")
        finally:
            [].pop()

    assert run_command("milk-test", body, []) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "milk-test: error: terminated\n"
