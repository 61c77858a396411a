"""Signals end every command, with nothing half-written, and what it says then is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from forked import call
from interrupts import SIGNALS, Bench
from job_cases import inside

FEW = ("train", "train best", "prepare folder", "tune, two workers", "recommend")
"""tests/interrupts.py has more of them."""


@pytest.mark.parametrize("name", FEW)
def test_a_signal_ends_a_command(tmp_path: Path, name: str) -> None:
    bench = Bench(name, tmp_path, anew=False)
    number = SIGNALS[FEW.index(name) % len(SIGNALS)]
    bench.sent(number, bench.long.short / 2)


BUSY = """
import os, signal, sys, threading, time
from milk_np.cli.common import run_command
from milk_np.cli.ending import advise
from milk_np.files.writing import write_atomic

def send():
    # To this thread: the main one isn't interrupted in its long call, and Python's handler waits for the main thread.
    time.sleep(0.5)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

def write(file):
    file.write(b"half")
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=send).start()
    os.read(os.pipe()[0], 1)

def body(line):
    advise(lambda: "interrupted while " + line[0])
    write_atomic("target", write)

sys.exit(run_command("milk-test", body, ["sorting"]))
"""


def test_a_long_call_does_not_keep_a_command_alive(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    done = subprocess.run([sys.executable, "-c", BUSY], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "milk-test: error: interrupted while sorting\n")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    assert (tmp_path / "target").read_text() == "old"


def test_a_signal_to_a_forked_process_is_none_to_its_parent(tmp_path: Path) -> None:
    from milk_np.cli.common import run_command

    def body(_line: list[str]) -> int:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        return 0

    with inside(tmp_path):
        assert call(lambda: run_command("milk-test", body, []), 60).code == 0
