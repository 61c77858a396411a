"""The command as a process: it starts, answers several clients, shares changes between workers, and ends gracefully."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")
from service_cases import Case, make_case

from milk_np.cli import serve
from milk_np.errors import SettingsError
from milk_np.service.start import api_key, is_local, read_titles
from milk_np.service.workers import listen

KEY = "a key of many letters"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return make_case(tmp_path_factory.mktemp("model"))


@contextmanager
def running(case: Case, *options: str, code: int = 0, **env: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a service, and its process; it is told to end, and has to end with `code`."""
    line = [sys.executable, "-m", "milk_np.cli.serve", "--model", str(case.file), "--port", "0", *options]
    process = subprocess.Popen(
        line, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}, start_new_session=True
    )
    try:
        assert process.stdout is not None
        shown = [process.stdout.readline() for _ in range(2)]
        assert shown[1].startswith("http://"), shown
        yield shown[1].strip(), process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == code
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers too: they hold the pipe that is read to its end
        process.communicate()


def ask(url: str, path: str, body: Any = None, method: str = "POST", **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url + path, data, {"Content-Type": "application/json", **headers}, method=method)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)


def names(found: Any) -> list[str]:
    return [entry["id"] for entry in found["lists"][0]["items"]]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_many_clients_while_items_come_and_go(case: Case, workers: str) -> None:
    expected = {f"u{n}": case.model.recommend([f"u{n}"], 5).found[0].tolist() for n in range(8)}
    wrong: list[Any] = []
    row = case.ds.features["text"][1].tolist()
    with running(case, "--workers", workers) as (url, _):

        def client(user: str) -> None:
            for _ in range(15):
                found = names(ask(url, "/recommend", {"users": [user], "k": 6, "exclude": ["fresh"]}))
                if found[:5] != expected[user]:
                    wrong.append((user, found))

        clients = [threading.Thread(target=client, args=(user,)) for user in expected]
        for each in clients:
            each.start()
        for _ in range(4):
            ask(url, "/items", {"items": [{"id": "fresh", "features": {"text": row}}]}, "PUT")
            for _ in range(6):  # whichever worker answers
                assert "fresh" in names(ask(url, "/recommend", {"users": ["u1"], "k": 100}))
            ask(url, "/items", {"items": ["fresh"]}, "DELETE")
            for _ in range(6):
                assert "fresh" not in names(ask(url, "/recommend", {"users": ["u1"], "k": 100}))
            ask(url, "/reload", {})
        for each in clients:
            each.join()
    assert wrong == []


def test_a_worker_that_is_killed_is_replaced(case: Case) -> None:
    with running(case, "--workers", "2") as (url, process):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        (first, *_) = before = children.read_text().split()
        os.kill(int(first), signal.SIGKILL)
        while len(set(children.read_text().split()) - {first}) < len(before):
            time.sleep(0.05)
        for _ in range(6):
            assert ask(url, "/health", method="GET")["status"] == "ok"


def test_workers_end_with_a_parent_that_is_killed(case: Case) -> None:
    with running(case, "--workers", "2", code=-signal.SIGKILL) as (url, process):
        process.kill()
        assert process.stdout is not None
        assert process.stdout.read() == ""  # its end comes when no worker holds it any more
        with pytest.raises(OSError, match="refused"):
            ask(url, "/health", method="GET")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_model_that_cannot_be_read_ends_with_its_code(tmp_path: Path, workers: str) -> None:
    (tmp_path / "model.npz").write_text("no archive")
    line = [sys.executable, "-m", "milk_np.cli.serve", "--model", str(tmp_path / "model.npz"), "--port", "0"]
    done = subprocess.run([*line, "--workers", workers], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "model.npz: not an .npz archive" in done.stderr


def test_other_hosts_need_a_key(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["--model", str(case.file), "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "a key is needed" in capsys.readouterr().err
    (tmp_path / "key").write_text(f"{KEY}\n")
    with running(case, "--host", "0.0.0.0", "--api-key-file", str(tmp_path / "key")) as (url, _):
        local = url.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(local, "/recommend", {"users": ["u1"]})
        assert names(ask(local, "/recommend", {"users": ["u1"]}, Authorization=f"Bearer {KEY}"))


def test_keys_hosts_and_titles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [is_local(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")] == [
        *(True, True, True, False, False)
    ]
    assert api_key(None) is None
    monkeypatch.setenv("MILK_API_KEY", "short")
    with pytest.raises(SettingsError, match="at least 16"):
        api_key(None)
    (tmp_path / "titles.csv").write_text("id,title\na,One\nb,\n")
    assert read_titles(str(tmp_path / "titles.csv")) == {"a": "One"}
    (tmp_path / "titles.csv").write_text("item,name\n")
    with pytest.raises(ValueError, match="expected columns id and title, got item, name"):
        read_titles(str(tmp_path / "titles.csv"))


def test_an_absent_extra_is_named(case: Case, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(serve, "find_spec", lambda name: None)
    assert serve.main(["--model", str(case.file)]) == 2
    assert "milk-np[serve]" in capsys.readouterr().err


def test_answers_are_sent_at_once() -> None:
    """asyncio leaves Nagle's algorithm on where a socket doesn't say that it is TCP: each answer takes 40 ms then."""
    with listen("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()), sock.accept()[0] as accepted:
        assert accepted.proto == socket.IPPROTO_TCP
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    with running(case) as (url, _):
        assert serve.main(["--model", str(case.file), "--port", url.rpartition(":")[2]]) == 2
    assert "choose another" in capsys.readouterr().err
