"""Load test of milk-serve on loopback: requests a second and their times, at 1, 2 and 8 clients, each answer checked.

    python benchmarks/serving.py --items 10000 100000 --seconds 10 --workers 2 --mixed 60

`--mixed` goes on with additions, removals and reloads between the lists for so many seconds, in four parts, and reports
the memory of the service before, after a warm-up and after each part.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from milk_np.data import Dataset, make_synthetic
from milk_np.models.milk.model import Milk

CLIENTS = (1, 2, 8)
USERS, K, DIM = 1000, 20, 64


def make_model(folder: Path, n_items: int) -> tuple[Path, Dataset]:
    """A model of one epoch with `n_items` new items, and its data."""
    ds = make_synthetic(USERS, n_items * 10 // 9, 20_000, {"image": 8, "text": 6}, new_items=0.9, seed=1)
    path = folder / f"{n_items}.npz"
    Milk(dim=DIM, max_epochs=1, eval_every=1, topk=(20,), valid_metric="ndcg@20").fit(ds).save(path)
    return path, ds


def connected(port: int) -> http.client.HTTPConnection:
    """A connection that sends at once: head and body are two packets, and the second would wait for the first."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def post(connection: http.client.HTTPConnection, path: str, body: Any, method: str = "POST") -> Any:
    """The answer to a request on a connection that is kept; RuntimeError unless it succeeds."""
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {text[:200]!r}")
    return json.loads(text)


def client(port: int, seconds: float, seed: int, expected: list[list[str]], found: Any) -> None:
    """Ask for lists of users for so many seconds; times and wrong answers go to the queue `found`."""
    connection, rng = connected(port), np.random.default_rng(seed)
    times, wrong, end = [], 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        user = int(rng.integers(len(expected)))
        begun = time.perf_counter()
        answer = post(connection, "/recommend", {"users": [user], "k": K, "exclude": ["fresh"]})
        times.append(time.perf_counter() - begun)
        wrong += [entry["id"] for entry in answer["lists"][0]["items"]] != expected[user]
    found.put((times, wrong))


def writer(port: int, seconds: float, row: list[float], found: Any) -> None:
    """Add, look for, remove an item and reload, for so many seconds."""
    connection, wrong, turns, end = connected(port), 0, 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        post(connection, "/items", {"items": [{"id": "fresh", "features": {"image": row}}]}, "PUT")
        wrong += not post(connection, "/similar", {"items": ["fresh"], "k": 1})["lists"][0]["items"]
        post(connection, "/items", {"items": ["fresh"]}, "DELETE")
        if turns % 5 == 0:
            post(connection, "/reload", {})
        turns += 1
        time.sleep(0.1)
    found.put(([], wrong))


def measure(
    port: int, clients: int, seconds: float, expected: list[list[str]], row: list[float] | None
) -> dict[str, Any]:
    """Requests a second, times in ms and wrong answers of so many clients, with a writer if there is a `row`."""
    found: Any = multiprocessing.Queue()
    work = [multiprocessing.Process(target=client, args=(port, seconds, n, expected, found)) for n in range(clients)]
    if row is not None:
        work.append(multiprocessing.Process(target=writer, args=(port, seconds, row, found)))
    for each in work:
        each.start()
    parts = [found.get(timeout=seconds + 120) for _ in work]
    for each in work:
        each.join()
    times = np.concatenate([np.array(part[0]) for part in parts])
    p50, p99 = (float(1000 * np.quantile(times, share)) for share in (0.5, 0.99))
    wrong = sum(part[1] for part in parts)
    return {
        "clients": clients,
        "requests": len(times),
        "per_s": len(times) / seconds,
        "p50_ms": p50,
        "p99_ms": p99,
        "wrong": wrong,
    }


def resident(pid: int) -> float:
    """Resident memory in MB of a process and its children, shared pages counted for each."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    pages = sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in (pid, *children))
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(folder: Path, n_items: int, given: argparse.Namespace) -> dict[str, Any]:
    """All measurements at `n_items` candidates."""
    path, ds = make_model(folder, n_items)
    lists = Milk.load(path).recommend(range(200), K).found
    expected = [[str(name) for name in row] for row in lists.tolist()]
    line = [
        sys.executable,
        "-m",
        "milk_np.cli.serve",
        "--model",
        str(path),
        "--port",
        "0",
        "--workers",
        str(given.workers),
    ]
    service = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    try:
        if service.stdout is None:
            raise RuntimeError("the service has no output")
        port = int([service.stdout.readline() for _ in range(2)][1].strip().rpartition(":")[2])
        measure(port, 2, 3, expected, None)
        rows = [measure(port, clients, given.seconds, expected, None) for clients in CLIENTS]
        out: dict[str, Any] = {"candidates": n_items, "lists": rows}
        if given.mixed:
            row, before = ds.features["image"][0].tolist(), resident(service.pid)
            measure(port, 4, 5, expected, row)
            settled = resident(service.pid)
            parts, memory = [], [before, settled]
            for _ in range(4):
                parts.append(measure(port, 4, given.mixed / 4, expected, row))
                memory.append(resident(service.pid))
            out |= {"mixed": parts, "memory_mb": [round(each) for each in memory]}
        return out
    finally:
        service.send_signal(signal.SIGTERM)
        service.communicate()


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--mixed", type=float, default=0)
    given = parser.parse_args()
    multiprocessing.set_start_method("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for n_items in given.items:
            print(json.dumps(run(Path(folder), n_items, given)), flush=True)


if __name__ == "__main__":
    main()
