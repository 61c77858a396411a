"""Workers of parallel runs end with the process that started them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import os, sys, time
from milk_np.experiments.pool import _pool
def work(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    os.rename(path, path + ".pid")
    time.sleep(600)
if __name__ == "__main__":
    with _pool(2) as pool:
        for name in sys.argv[1:]:
            pool.submit(work, name)
        time.sleep(600)
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked for yet doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    names = [str(tmp_path / name) for name in "ab"]
    with subprocess.Popen([sys.executable, tmp_path / "program.py", *names]) as parent:
        while not all(os.path.exists(f"{name}.pid") for name in names):
            assert parent.poll() is None
            time.sleep(0.05)
        workers = [int(Path(f"{name}.pid").read_text()) for name in names]
        assert all(map(alive, workers))
        parent.kill()
    for _ in range(600):
        if not any(map(alive, workers)):
            return
        time.sleep(0.05)
    for worker in workers:
        os.kill(worker, 9)
    raise AssertionError("the workers outlive their parent")
