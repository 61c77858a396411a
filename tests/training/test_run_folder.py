"""The folder of a run: written whole, never overwritten, resumed only on the same data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from milk_np.errors import DataError, SettingsError
from milk_np.machine.environment import environment, without_home
from milk_np.machine.processor import INSTRUCTIONS, cpu_flags, cpu_name
from milk_np.models.milk.settings import MilkSettings
from milk_np.models.registry import load_settings
from milk_np.training.run_folder import RunFolder, default_folder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "a" / "run", MilkSettings(lr=0.5), data_hash="abc", command=["milk-train"])


def test_a_new_run_records_its_settings_environment_and_data(run: RunFolder) -> None:
    assert load_settings(run.config) == MilkSettings(lr=0.5)
    facts = json.loads(run.file("env.json").read_text())
    assert facts["data_hash"] == "abc"
    assert facts["command"] == ["milk-train"]
    assert {"numpy", "scipy", "numba"} <= set(facts["libraries"])
    assert facts["cores"] >= 1
    assert facts["instructions"] == [name for name in INSTRUCTIONS if name in cpu_flags()]


def test_the_environment_names_neither_user_nor_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    facts = json.dumps(environment(["milk-train", "--data", "/home/someone/a.npz"]))
    assert "someone" not in facts
    assert "~/a.npz" in facts
    assert f'"{os.uname().nodename}"' not in facts
    monkeypatch.setenv("HOME", "/")
    assert without_home("/data/a") == "/data/a"


def test_a_processor_without_a_name_is_told_by_its_architecture(tmp_path: Path) -> None:
    assert cpu_name(tmp_path / "absent") == os.uname().machine
    assert cpu_flags(tmp_path / "absent") == set()


@pytest.mark.parametrize("field", ["flags\t\t", "Features\t"])
def test_what_a_processor_can_do(tmp_path: Path, field: str) -> None:
    """x86 and ARM give their lines other names."""
    (tmp_path / "cpuinfo").write_text(f"model name\t: A B\n{field}: one two\nvmx flags\t: three\n\n{field}: four\n")
    assert cpu_flags(tmp_path / "cpuinfo") == {"one", "two"}
    assert cpu_name(tmp_path / "cpuinfo") == "A B"


def test_another_run_is_not_overwritten(run: RunFolder) -> None:
    with pytest.raises(SettingsError, match="already holds a run; continue it with --resume"):
        RunFolder.create(run.path, MilkSettings(), data_hash="abc")
    assert load_settings(run.config).lr == 0.5


def test_resuming_needs_a_run_on_the_same_data(run: RunFolder, tmp_path: Path) -> None:
    assert RunFolder.reopen(run.path, data_hash="abc").config == run.config
    with pytest.raises(SettingsError, match="holds no run to resume"):
        RunFolder.reopen(tmp_path / "absent")
    with pytest.raises(DataError, match="hash abc, not xyz"):
        RunFolder.reopen(run.path, data_hash="xyz")


def test_resuming_clears_what_a_killed_write_left(run: RunFolder) -> None:
    run.file(".model.npz.0123456789abcdef.tmp").write_bytes(b"half")
    run.file(".notes.tmp").write_bytes(b"somebody's own")
    RunFolder.reopen(run.path)
    assert [path.name for path in run.path.glob(".*")] == [".notes.tmp"]


def test_a_folder_that_holds_no_run_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".model.npz.0123456789abcdef.tmp").write_bytes(b"whose?")
    with pytest.raises(SettingsError, match="holds no run"):
        RunFolder.reopen(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("left", ["env.json", "config.toml"])
def test_a_run_that_was_killed_at_its_beginning_can_be_started_again(run: RunFolder, left: str) -> None:
    """The environment alone is there, or the settings alone, as version 0.1.0 left them."""
    (run.file("config.toml") if left == "env.json" else run.file("env.json")).unlink()
    assert not run.exists
    again = RunFolder.create(run.path, MilkSettings(lr=0.25), data_hash="abc")
    assert load_settings(again.config).lr == 0.25
    assert RunFolder.reopen(run.path, data_hash="abc").exists


def test_a_model_without_its_environment_is_not_overwritten(run: RunFolder) -> None:
    run.model.write_bytes(b"trained")
    run.file("env.json").unlink()
    with pytest.raises(SettingsError, match="already holds a run"):
        RunFolder.create(run.path, MilkSettings(), data_hash="abc")


HOLDER = """
import sys, time
from milk_np.training.run_folder import RunFolder
run = RunFolder.reopen(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


def test_one_process_writes_a_run_and_a_dead_one_keeps_nothing(run: RunFolder) -> None:
    path = run.path
    run._lock = None
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            for begin in (RunFolder.reopen, lambda p: RunFolder.create(p, MilkSettings(), data_hash="abc")):
                with pytest.raises(SettingsError, match="another process is writing this run"):
                    begin(path)
        finally:
            holder.kill()
    assert RunFolder.reopen(path).exists


def test_a_lock_lives_as_long_as_the_run_that_uses_it(run: RunFolder) -> None:
    """Within a process it is shared."""
    assert RunFolder.reopen(run.path)._lock is run._lock
    run._lock = None
    probe = "import sys; from milk_np.training.run_folder import RunFolder as R; R.reopen(sys.argv[1])"
    subprocess.run([sys.executable, "-c", probe, str(run.path)], check=True)


def test_default_folders_of_one_second_differ() -> None:
    assert len({default_folder("a", MilkSettings()) for _ in range(100)}) == 100


def test_metrics_are_appended_and_rewritten_when_resumed(run: RunFolder) -> None:
    assert run.metrics() == []
    for epoch in range(1, 6):
        run.append_metrics({"epoch": epoch, "loss": epoch / 7})
    with open(run.file("metrics.jsonl"), "a") as file:
        file.write('{"epoch": 6, "lo')  # the process was killed here
    assert [record["epoch"] for record in run.metrics()] == [1, 2, 3, 4, 5]
    run.rewrite_metrics(run.metrics()[:3])
    run.append_metrics({"epoch": 4, "loss": 4 / 7})
    assert run.metrics() == [{"epoch": epoch, "loss": epoch / 7} for epoch in range(1, 5)]


@pytest.mark.parametrize("text", ['oops\n{"epoch": 1}\n', '{"loss": 1}\n', '{"epoch": "1"}\n', "[1]\n"])
def test_damaged_metrics_are_reported(run: RunFolder, text: str) -> None:
    run.file("metrics.jsonl").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.jsonl: line 1"):
        run.metrics()


def test_the_log_and_the_summary_are_kept(run: RunFolder) -> None:
    assert run.summary() is None
    run.log("one")
    run.log("two")
    run.write_summary({"epochs": 3})
    assert run.file("log.txt").read_text() == "one\ntwo\n"
    assert run.summary() == {"epochs": 3}
    run.file("summary.json").write_text("{")
    with pytest.raises(DataError, match="not JSON"):
        run.summary()


def test_an_output_that_can_not_be_written_is_found_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        RunFolder.create(tmp_path / "file" / "run", MilkSettings(), data_hash="abc")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("tiktok", "tiktok"),
        ("TikTok (image + audio)", "TikTok_image_audio"),
        ("../..", "data"),
        ("é", "data"),
    ],
)
def test_the_default_folder_is_a_safe_name(name: str, folder: str) -> None:
    path = default_folder(name, MilkSettings(seed=3, preset="reference"))
    assert path.parent == Path("runs")
    assert re.fullmatch(folder + r"-milk-reference-s3-\d{8}-\d{6}-[0-9a-f]{6}", path.name)
