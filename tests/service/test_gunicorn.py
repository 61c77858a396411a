"""The recipe of docs/serving.md: gunicorn with uvicorn's workers, which are forked when the model is loaded."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("gunicorn", reason="gunicorn is not installed")
pytest.importorskip("uvicorn_worker", reason="uvicorn-worker is not installed")
from service_cases import Case, make_case
from test_process import ask, names

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"


@pytest.fixture
def case(tmp_path: Path) -> Case:
    (tmp_path / "runs" / "shop").mkdir(parents=True)
    return make_case(tmp_path / "runs" / "shop")


def recipe(folder: Path) -> list[str]:
    """Write the page's program into a folder; the page's line that starts it."""
    part = PAGE.read_text(encoding="utf-8").partition("\n## Behind gunicorn\n")[2].partition("\n## ")[0]
    (folder / "shop.py").write_text(re.findall(r"```python\n(.*?)```", part, re.DOTALL)[0])
    line = next(line for line in part.splitlines() if line.startswith("gunicorn "))
    return line.partition("#")[0].split()[1:]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The address of the page's service, and its process; told to end, it has to end with 0."""
    line, port = recipe(folder), free_port()
    line[line.index("--bind") + 1] = f"127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", *line, "--no-control-socket"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while process.poll() is None:
            with suppress(OSError):
                ask(url, "/health", method="GET")
                break
            time.sleep(0.1)
        yield url, process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def workers(process: subprocess.Popen[bytes]) -> set[int]:
    return set(map(int, Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()))


def every(url: str, right: Any, **wanted: Any) -> None:
    """Each of many answers, whichever worker they come from, is right."""
    for _ in range(30):
        assert right(names(ask(url, "/recommend", wanted)))


def test_workers_share_changes_and_reloads(case: Case, tmp_path: Path) -> None:
    expected, row = case.model.recommend(["u1"], 5).found[0].tolist(), case.ds.features["text"][1].tolist()
    with running(tmp_path) as (url, process):
        while len(workers(process)) < 4:  # the first answers before the others are forked
            time.sleep(0.05)
        every(url, lambda found: found == expected, users=["u1"], k=5)

        ask(url, "/items", {"items": [{"id": "fresh", "features": {"text": row}}]}, "PUT")
        every(url, lambda found: "fresh" in found, users=["u1"], k=100)

        before = workers(process)
        os.kill(min(before), signal.SIGKILL)
        while len(workers(process) - {min(before)}) < 4:
            time.sleep(0.05)
        every(url, lambda found: "fresh" in found, users=["u1"], k=100)  # the new one too, which was forked before

        ask(url, "/items", {"items": ["fresh"]}, "DELETE")
        every(url, lambda found: "fresh" not in found, users=["u1"], k=100)

        (tmp_path / "other").mkdir()
        other = make_case(tmp_path / "other", seed=4)
        os.replace(other.file, case.file)
        ask(url, "/reload", {})
        again = other.model.recommend(["u1"], 5).found[0].tolist()
        assert again != expected
        every(url, lambda found: found == again, users=["u1"], k=5)
        assert counted(ask_text(url, "/metrics"), "/recommend") == 150


def ask_text(url: str, path: str) -> str:
    import urllib.request

    with urllib.request.urlopen(url + path, timeout=60) as answer:
        return str(answer.read().decode())


def counted(text: str, route: str) -> int:
    """Requests that all workers answered."""
    return int(re.findall(rf'milk_requests_total{{route="{route}",status="2xx"}} (\d+)', text)[0])


def test_a_model_that_cannot_be_read_ends_the_start(case: Case, tmp_path: Path) -> None:
    case.file.write_bytes(np.random.default_rng(0).bytes(100))
    line = [sys.executable, "-m", "gunicorn", *recipe(tmp_path), "--no-control-socket"]
    done = subprocess.run(
        line,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "model.npz: not an .npz archive" in done.stderr
