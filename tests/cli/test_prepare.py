"""milk-prepare makes data sets of all its sources, and answers mistakes with a line and an exit code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from milk_np.cli.prepare import main
from milk_np.data import Dataset, apply_protocol, make_synthetic

PAIRS = [(u, i) for u in range(8) for i in range(12) if (u * 5 + i * 3) % 4 < 2]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with a table and two modalities."""
    folder = tmp_path / "raw"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["user,item", *(f"{u},{i}" for u, i in PAIRS)]
    (folder / "interactions.csv").write_text("\n".join(lines))
    for name, width in (("image", 4), ("text", 3)):
        np.save(folder / f"{name}.npy", rng.normal(size=(12, width)).astype(np.float32))
    return folder


def run(*line: object) -> int:
    return main([str(part) for part in line])


def test_a_folder_becomes_a_file_and_is_described(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made" / "shop.npz"
    assert run(raw, "--out", out, "--name", "shop", "--half") == 0
    shown = capsys.readouterr().out
    ds = Dataset.load(out)
    assert ds.name == "shop"
    assert ds.features["text"].dtype == np.float16
    for text in ("Data set   shop", ds.content_hash[:16], "8 users, 12 items", f"Wrote {out}"):
        assert text in shown
    assert run("--info", out) == 0
    assert capsys.readouterr().out.strip() == ds.statistics()


def test_quiet_prints_nothing(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raw, "--out", tmp_path / "set", "--quiet") == 0
    assert run("--synthetic", "--out", tmp_path / "built-in", "--quiet") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def shop(folder: Path) -> Path:
    """Clicks with times and ratings, images of some items, texts of others with ids beside them."""
    lines = [f"u{u};p{i};2024-01-{1 + i:02d};{1 + (u + i) % 5}" for u, i in PAIRS]
    (folder / "clicks.csv").write_text("\n".join(["uid;sku;when;rating", *lines]) + "\n")
    rng = np.random.default_rng(0)
    np.savez(folder / "image.npz", sku=[f"p{n}" for n in range(1, 12)], image=rng.normal(size=(11, 4)))
    np.save(folder / "text.npy", rng.normal(size=(11, 3)))
    (folder / "text.txt").write_text("\n".join(f"p{n}" for n in [12, *range(2, 12)]))
    return folder


def by_id(folder: Path, *more: object) -> int:
    ids = ("--ids", f"text={folder / 'text.txt'}", "--user-col", "uid", "--item-col", "sku")
    files = (shop(folder) / "clicks.csv", folder / "image.npz", folder / "text.npy")
    return run(*files, *ids, "--out", folder / "set.npz", *more)


def test_tables_meet_by_id_and_what_was_found_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert by_id(tmp_path) == 3
    assert "1 items without any of image, text (such as p0), which have 4 pairs" in capsys.readouterr().err
    assert by_id(tmp_path, "--drop-featureless", "--new-since", "2024-01-08", "--time-col", "when") == 0
    shown = capsys.readouterr().out
    for text in (
        "separator of clicks.csv: ';'",
        "every row counts as a pair, whatever its rating: --rating-col rating --min-rating X",
        "new since 2024-01-08: 5 of 12 items; left out 0 later pairs of 0 older items",
        "left out 1 items without any of image, text, and their 4 pairs",
    ):
        assert text in shown
    ds = Dataset.load(tmp_path / "set.npz")
    assert ds.item_ids is not None
    assert ds.item_ids[ds.new_items(3)].tolist() == ["p12"]
    assert ds.item_ids[~ds.available[:, 1]].tolist() == ["p1"]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("--split", "time", "--time-col", "when"), "time"),
        (("--time-col", "when"), "time"),
        (("--new-since", "0.4", "--time-col", "when"), "time"),
        (("--new-items", "0"), None),
        (("--min-rating", "3"), None),
    ],
)
def test_options_imply_one_another(tmp_path: Path, options: tuple[str, ...], kind: str | None) -> None:
    assert by_id(tmp_path, "--drop-featureless", "--quiet", *options) == 0
    ds = Dataset.load(tmp_path / "set.npz")
    assert ds.meta.get("split") == kind
    assert ("--new-items" in options) == (not len(ds.evaluated_items))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--split", "random", "--time-col", "when"), "--split: expected one kind of split"),
        (("--new-since", "0.4"), "expected a column 'time' in the header"),
        (
            ("--split-col", "rating", "--new-since", "0.4"),
            "--split: expected one kind of split, got options of column and",
        ),
        (
            ("--split-col", "rating", "--new-items", "0.4"),
            "--new-items, --split-seed: the column of splits says already",
        ),
        (("--ids", "text"), "--ids: expected NAME=FILE, such as image=ids.txt, got 'text'"),
        (("--new-since", "noon", "--time-col", "when"), "--new-since: expected a date such as 2024-05-31 or a share"),
    ],
)
def test_options_that_contradict_one_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert by_id(tmp_path, "--drop-featureless", *options) in (2, 3)
    assert message in capsys.readouterr().err


def test_a_table_with_features_named_in_both_ways(raw: Path, tmp_path: Path) -> None:
    table = raw / "interactions.csv"
    out = tmp_path / "set.npz"
    line = (table, "--out", out, "--features", f"words={raw / 'text.npy'}", raw / "image.npy", "--quiet")
    assert run(*line) == 0
    assert Dataset.load(out).modalities == ("image", "words")
    assert run(*line, "--modalities", "words") == 0
    assert Dataset.load(out).modalities == ("words",)


def test_split_and_mask_options_are_passed_on(raw: Path, tmp_path: Path) -> None:
    out = tmp_path / "set.npz"
    options = ("--new-items", ".5", "--split-seed", 3, "--protocol", "MTMT", "--missing-train", ".5")
    assert run(raw, "--out", out, *options, "--missing-mix", ".5,.5", "--missing-seed", 4, "--quiet") == 0
    ds = Dataset.load(out)
    assert (ds.meta["new_items"], ds.meta["split_seed"]) == (0.5, 3)
    expected = apply_protocol(ds, "MTMT", missing_train=0.5, mix=(0.5, 0.5), seed=4)
    assert np.array_equal(ds.available, expected.available)
    assert ds.meta["missing_mix"] == [0.5, 0.5]


def test_a_data_set_gets_another_mask_or_another_split(raw: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "set.npz", tmp_path / "other"
    assert run(raw, "--out", first, "--protocol", "FTMT", "--quiet") == 0
    assert run(first, "--out", second, "--protocol", "FTFT", "--quiet") == 0
    assert Dataset.load(second).available.all()
    assert np.array_equal(Dataset.load(second).item_split, Dataset.load(first).item_split)
    assert run(first, "--out", second, "--split-seed", 9, "--quiet") == 0
    assert not np.array_equal(Dataset.load(second).item_split, Dataset.load(first).item_split)


def test_the_built_in_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--synthetic", "--out", tmp_path / "set.npz", "--quiet") == 0
    assert run("--synthetic", "--out", tmp_path / "set", "--protocol", "FTMT") == 0
    assert "Protocol FTMT" in capsys.readouterr().out
    assert Dataset.load(tmp_path / "set.npz").content_hash == make_synthetic().content_hash
    masked = apply_protocol(make_synthetic(), "FTMT")
    assert Dataset.load(tmp_path / "set").content_hash == masked.content_hash


def test_synthetic_sizes(tmp_path: Path) -> None:
    sizes = ("--users", "1e2", "--items", 90, "--pairs", 600, "--widths", "a=5,b=2", "--seed", 3, "--half")
    assert run("--synthetic", *sizes, "--out", tmp_path / "set", "--name", "tiny", "--quiet") == 0
    ds = Dataset.load(tmp_path / "set")
    assert ds.name == "tiny"
    assert ds.content_hash == make_synthetic(100, 90, 600, {"a": 5, "b": 2}, seed=3, half=True).content_hash


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "--out: expected a place to write to"),
        ("RAW", "--out: expected a place to write to"),
        ("--out OUT", "SOURCE: expected a table, a folder or a data set"),
        ("RAW --ouy OUT", "unknown option --ouy; did you mean --out?"),
        ("RAW RAW --out OUT", "SOURCE: expected one folder source"),
        ("RAW --out OUT --users 5", "--users: applies to --synthetic"),
        ("RAW --out OUT --features a=b.npy", "--features: applies to tables, not to"),
        ("RAW --out OUT --item-ids x", "--item-ids: applies to tables, not to"),
        ("RAW --out set.csv", "--out: expected a name ending in .npz, or a folder"),
        ("RAW --out OUT --new-items 1.5", "--new-items: expected a share between 0 and 1, got '1.5'"),
        ("RAW --out OUT --new-items some", "expected a share between 0 and 1, got 'some'"),
        ("RAW --out OUT --k-core 2.5", "--k-core: expected a whole number such as 1000 or 1e6, got '2.5'"),
        ("RAW --out OUT --modalities a,,b", "expected names separated by commas"),
        ("RAW --out OUT --protocol FTXX", "expected one of FTFT, FTMT, MTFT, MTMT"),
        ("RAW --out OUT --missing-test .4", "--missing-test: has no effect without --protocol"),
        ("RAW --out OUT --missing-rows none", "missing rows: expected nan or zero, got none"),
        ("TABLE --out OUT --features image", "--features: expected NAME=FILE"),
        ("TABLE a.npy --out OUT --features a=b.npy", "expected one file per modality, got two for a"),
        ("--synthetic RAW --out OUT", "SOURCE: expected none with --synthetic"),
        ("--synthetic --out OUT --k-core 3", "--k-core: applies to raw data, not to --synthetic"),
        ("--synthetic --out OUT --widths a", "--widths: expected NAME=D"),
        ("--synthetic --out OUT --pairs 10", "pairs: expected from 3000"),
        ("--info OUT --out OUT", "--info: writes nothing, so give it alone"),
    ],
)
def test_usage_errors_end_with_2(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    names = {"RAW": raw, "OUT": tmp_path / "out.npz", "TABLE": raw / "interactions.csv"}
    try:
        code = run(*(names.get(word, word) for word in line.split()))
    except SystemExit as stop:
        code = int(stop.code or 0)
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("none.csv --out OUT", "none.csv: no such file"),
        ("EMPTY --out OUT", "expected a folder with one of"),
        ("--info none.npz", "none.npz: no such file"),
        ("TABLE --out OUT", "at least one modality, got none; give them with --features"),
        ("TABLE none.npy --out OUT", "none.npy"),
        ("RAW --out EXISTING", "exists and isn't a data set"),
        ("RAW --out OUT --k-core 40", "no user and item has 40 pairs"),
        ("RAW --out OUT --modalities sound", "expected names among image, text, got sound"),
        ("RAW --out OUT --user-col uid", "expected a column 'uid' in the header, got user, item"),
        ("RAW --out OUT --protocol FTMT --missing-mix .2,.3,.5", "would lose 2 of 2 modalities"),
    ],
)
def test_data_errors_end_with_3(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "existing").mkdir()
    (tmp_path / "existing" / "thesis.tex").touch()
    names = {
        "RAW": raw,
        "OUT": tmp_path / "out.npz",
        "TABLE": raw / "interactions.csv",
        "EMPTY": tmp_path / "empty",
        "EXISTING": tmp_path / "existing",
    }
    assert run(*(names.get(word, word) for word in line.split())) == 3
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1


def test_help_shows_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run("--help")
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    for text in ("milk-prepare interactions.csv image.npy text.npy --out data.npz", "exit codes", "--k-core"):
        assert text in shown


@pytest.mark.real
@pytest.mark.parametrize("name", ["tiktok", "baby", "lfm2k"])
def test_real_folders(real_data: Path, tmp_path: Path, name: str) -> None:
    assert run(real_data / name, "--out", tmp_path / "set.npz", "--protocol", "FTMT", "--quiet") == 0
    ds = Dataset.load(tmp_path / "set.npz")
    assert len(ds.new_items()) == round(0.2 * ds.n_items)
