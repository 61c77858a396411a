"""Counts of workers that somebody else forks."""

from __future__ import annotations

import subprocess
import sys

COUNTING = """
import os
from milk_np.service.metrics import Metrics

metrics = Metrics(("/health",))
children = []
for _ in range(4):
    if not (child := os.fork()):
        for _ in range(20_000):
            metrics.add("/health", 200, 0.001)
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
print(metrics.text({}).split('status="2xx"} ')[1].split()[0])
"""


def test_no_count_of_processes_side_by_side_is_lost() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["80000"]
