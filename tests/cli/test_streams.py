"""Standard streams that are closed, that know ASCII alone, or that are a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milk_np.cli.common import run_command
from milk_np.reports.markup import tag
from milk_np.reports.tables import _markdown_text, _plain_cell
from milk_np.text import printable

PROGRAM = """
import sys
from milk_np.cli.common import run_command
from milk_np.errors import DataError
def body(line):
    if line == ["fail"]:
        raise DataError("b\\xe4d \\x1b[31m")
    print("us\\xe9r \\x1b[31mred"); print("note", file=sys.stderr)
    return 0
sys.exit(run_command("milk-test", body))
"""
USER = "usér"


def call(*line: str, redirect: str = "", **variables: str) -> subprocess.CompletedProcess[bytes]:
    shell = f'exec "$@" {redirect}'
    command = ["sh", "-c", shell, "sh", sys.executable, "-c", PROGRAM, *line]
    return subprocess.run(command, capture_output=True, env={**os.environ, **variables}, check=False)


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
)
def test_streams_are_utf_8_whatever_the_locale(variables: dict[str, str]) -> None:
    done = call(**variables)
    assert (done.returncode, done.stderr) == (0, b"note\n")
    assert done.stdout.decode() == f"{USER} \x1b[31mred\n", "a file gets every character as it is"
    failed = call("fail", **variables)
    assert failed.returncode == 3
    assert failed.stderr.decode() == "milk-test: error: bäd \\x1b[31m\n"


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("line", "code"), [((), 0), (("fail",), 3)])
def test_silence_where_nobody_listens(redirect: str, line: tuple[str, ...], code: int) -> None:
    done = call(*line, redirect=redirect)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


def test_a_file_never_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    program = (
        "import os, sys; from milk_np.cli.common import run_command\n"
        "def body(line):\n"
        "    with open(line[0], 'w') as file: os.write(1, b'noise'); assert file.fileno() > 2\n"
        "    return 0\n"
        "sys.exit(run_command('milk-test', body))"
    )
    path = tmp_path / "file"
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", program, path], check=False)
    assert done.returncode == 0
    assert path.read_bytes() == b""


def test_a_terminal_gets_control_characters_escaped() -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        done = subprocess.run([sys.executable, "-c", PROGRAM], stdout=theirs, stderr=theirs, check=False)
        os.close(theirs)
        shown = screen.read(1000).decode()
    assert done.returncode == 0
    assert f"{USER} \\x1b[31mred" in shown
    assert "\x1b" not in shown


def test_the_streams_come_back_as_they_were() -> None:
    before = sys.stdout, sys.stdout.encoding, sys.stdout.errors
    assert run_command("milk-test", lambda _line: 0, []) == 0
    assert (sys.stdout, sys.stdout.encoding, sys.stdout.errors) == before


@given(st.text())
def test_nothing_that_is_printable_is_changed(text: str) -> None:
    shown = printable(text)
    assert not any((ord(one) < 0x20 and one not in "\n\t") or 0x7F <= ord(one) < 0xA0 for one in shown)
    if not any(one != shown_one for one, shown_one in zip(text, shown, strict=False)):
        assert shown == text
    assert printable(shown) == shown


def test_reports_stay_clean() -> None:
    assert tag("p", "\x1b]0;<script>") == "<p>\\x1b]0;&lt;script&gt;</p>"
    assert _plain_cell("=cmd|' /C calc'!A0") == "'=cmd|' /C calc'!A0"
    assert _plain_cell("tiktok-2") == "tiktok-2"
    assert _plain_cell("") == ""
    assert _markdown_text("a|b\n<script>") == r"a\|b\\x0a\<script\>"
