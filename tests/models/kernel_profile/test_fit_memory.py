"""Memory of a fit: what is stated before it begins is what a process takes, and --memory makes it less."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from kernel_profile_cases import OPTIONS, small

from milk_np.data import make_synthetic
from milk_np.errors import SettingsError
from milk_np.machine.memory import KERNELS
from milk_np.models.kernel_profile import need as need_module
from milk_np.models.kernel_profile.memory import need_of, training_bytes
from milk_np.models.kernel_profile.model import KernelProfile
from milk_np.models.kernel_profile.need import PLANS, Need
from milk_np.models.kernel_profile.settings import KernelProfileSettings
from milk_np.text import size_bytes

MB = 2**20
SIZES = {"n_users": 20_000, "n_items": 60_000, "n_new_items": 10_000, "n_train_pairs": 300_000, "widths": (24, 16)}
GIVEN = {
    "whitening": (0.0,), "kernel_noise": 1.0, "landmarks": 512, "length_power": "0", "even_exposure": "0",
}  # fmt: skip
"""Nothing is left to choose, which takes as long and always the same."""
CHILD = """
import sys
import numpy as np
from milk_np.data import Dataset
from milk_np.models.kernel_profile.model import KernelProfile
rng = np.random.default_rng(0)
I, n, U = 60_000, 50_000, 20_000
user, item = np.divmod(np.unique(rng.integers(0, U, 300_000) * n + rng.integers(0, n, 300_000)), n)
split, new = np.zeros(I, np.uint8), np.arange(n, I)
split[n:] = 1
split[np.setdiff1d(np.arange(n), item)] = 3
user, item = np.r_[user, new % U], np.r_[item, new]
rows = {name: rng.standard_normal((I, width), dtype=np.float32) for name, width in (("a", 24), ("b", 16))}
ds = Dataset(user, item, split[item], split, ("a", "b"), rows, np.ones((I, 2), bool))
given = dict(whitening=(0.0,), kernel_noise=1.0, landmarks=512, length_power=sys.argv[2], even_exposure=sys.argv[2])
print("begin", flush=True)
sys.stdin.readline()
KernelProfile(**given, memory=sys.argv[1]).fit(ds)
"""


def peak(memory: str, adjusting: str) -> int:
    """The most anonymous memory that a fit in a process of its own adds to what the data and libraries take."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, memory, adjusting], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "begin\n"
    before = most = anonymous(child.pid)
    child.stdin.write("\n")
    child.stdin.flush()
    while child.poll() is None:
        most = max(most, anonymous(child.pid))
        time.sleep(0.001)
    child.communicate()
    assert child.returncode == 0
    return most - before


def anonymous(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def stated(memory: str, adjusting: str = "0") -> int:
    given = {**GIVEN, "length_power": adjusting, "even_exposure": adjusting}
    return sum(training_bytes(KernelProfileSettings(**given, memory=memory), **SIZES).values())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel doesn't tell a process's memory")
@pytest.mark.parametrize(("memory", "adjusting"), [("", "0"), ("220MB", "0"), ("", "auto")])
def test_a_fit_takes_what_it_says(memory: str, adjusting: str) -> None:
    """Within 20 %, the evaluation that follows a fit in a command apart; compiled kernels may come from the disk or
    a helper process, and then take next to nothing here."""
    expected = stated(memory, adjusting)
    if memory:
        assert expected <= size_bytes(memory) < stated("") - 50 * MB
    assert 0.8 * (expected - KERNELS // 2) < peak(memory, adjusting) < 1.2 * expected


def test_smaller_blocks_and_vectors_on_disk_change_scores_by_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    ds = make_synthetic(150, 900, 4000, {"image": 9, "text": 5}, new_items=0.2, seed=2)
    options = OPTIONS | {"landmarks": 150, "kernel_noise": 1.0, "whitening": (0.0,)}
    expected = KernelProfile(**options).fit(ds)
    monkeypatch.setattr(need_module, "PLANS", (PLANS[-1],))
    found = KernelProfile(**options, memory="1GB").fit(ds)
    assert isinstance(found.arrays()["history"], np.memmap)
    scores = [model.user_factors() @ model.item_factors().T for model in (expected, found)]
    np.testing.assert_allclose(scores[1], scores[0], atol=2e-3 * np.abs(scores[0]).max())


def test_plans_take_less_and_less() -> None:
    for sizes in (SIZES, SIZES | {"n_items": 10**6, "n_users": 10**7, "n_train_pairs": 10**8}):
        arguments = (sizes["n_users"], sizes["n_items"], sizes["n_items"] * 4 // 5, sizes["n_train_pairs"])
        needs = [Need(KernelProfileSettings(), *arguments, (512, 384), plan=plan) for plan in PLANS]
        for step in needs[0].steps():
            bytes_ = [need.steps()[step] for need in needs]
            assert bytes_ == sorted(bytes_, reverse=True)
        assert needs[0].steps()["similarities"] > needs[-1].steps()["similarities"]
    assert all(plan.rows % 256 == 0 for plan in PLANS)


def test_the_fastest_plan_that_fits_is_taken() -> None:
    arguments = {"n_users": 20_000, "n_items": 10**5, "n_new_items": 0, "n_train_pairs": 10**6, "widths": (8,)}
    total = sum(training_bytes(KernelProfileSettings(**GIVEN), **arguments).values())
    for share, first in ((1.0, True), (0.8, False)):
        settings = KernelProfileSettings(**GIVEN, memory=f"{share * total:.0f}")
        assert (need_of(settings, **arguments).plan == PLANS[0]) == first
        assert sum(training_bytes(settings, **arguments).values()) <= share * total


def test_too_little_is_refused_with_the_least_that_would_do() -> None:
    ds = small(2)
    with pytest.raises(SettingsError, match=r"memory \(--memory\): got 1MB, expected at least (\d.*B) for") as caught:
        KernelProfile(**OPTIONS, memory="1MB").fit(ds)
    least = str(caught.value).split("at least ")[1].split(" for")[0].replace(" ", "")
    KernelProfile(**OPTIONS, memory=least).check(ds)


@pytest.mark.parametrize("text", ["much", "-1GB", "4 XB", "GB", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"memory \(--memory\): got .* expected a size such as 4GB"):
        KernelProfileSettings(memory=text)


@pytest.mark.parametrize(
    ("text", "size"), [("4GB", 4 << 30), ("512 mb", 512 << 20), ("1.5GiB", 3 << 29), ("64k", 64 << 10), ("123", 123)]
)
def test_sizes(text: str, size: int) -> None:
    assert KernelProfileSettings(memory=text).memory_bytes == size
