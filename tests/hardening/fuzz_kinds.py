"""Kinds of files and lines that are fuzzed: valid ones, how they are changed, and what reads them."""

from __future__ import annotations

from importlib.util import find_spec

from fuzz_commands import REPRODUCE, TUNE, change_line, for_lines, reproduced, tuned, use_line
from fuzz_data import (
    change_folder,
    change_parquet,
    data_folder,
    parquet,
    raw_with_times,
    use_data,
    use_shards,
    use_tables,
)
from fuzz_kind import Kind, cli, one_of, rarely
from fuzz_models import (
    RESUMED,
    change_journal,
    change_part,
    served,
    settings_of_two,
    shards_trained,
    trained_by,
    use_journal,
    use_model,
    use_settings,
    use_titles,
)
from job_cases import MILK, data, in_parts, in_shards, model
from mutants import changed_bytes, changed_json, changed_lines, changed_npy, changed_npz, changed_table

from milk_np.cli import merge, recommend, reproduce, train, tune

KINDS: dict[str, Kind] = {
    "data": Kind(data, one_of(data__npz=rarely(changed_npz)), lambda: use_data("data.npz")),
    "data, bytes": Kind(data, one_of(data__npz=changed_bytes), lambda: use_data("data.npz"), sealed=True),
    "folder": Kind(data_folder, change_folder, lambda: use_data("set")),
    "folder, bytes": Kind(data_folder, one_of(any__npy=changed_bytes), lambda: use_data("set"), sealed=True),
    "shards": Kind(in_shards, change_folder, use_shards),
    "model": Kind(model, one_of(model__npz=rarely(changed_npz)), use_model),
    "model, bytes": Kind(model, one_of(model__npz=changed_bytes), use_model, sealed=True),
    "model milk": Kind(trained_by(*MILK), one_of(model__npz=rarely(changed_npz)), use_model),
    "model ridge": Kind(
        trained_by("--model", "svd-ridge", "--dim", "4", "--topk", "5"),
        one_of(model__npz=rarely(changed_npz)),
        use_model,
    ),
    "run": Kind(
        trained_by(*MILK, "--max-epochs", "2"),
        one_of(config__toml=changed_lines, env__json=changed_json, metrics__jsonl=change_journal,
               summary__json=changed_json,
               last__npz=rarely(changed_npz)),
        lambda: cli(train.main, *RESUMED),
    ),
    "settings": Kind(settings_of_two, one_of(config__toml=changed_lines), use_settings),
    "tables": Kind(raw_with_times, one_of(pairs__csv=changed_table), use_tables),
    "features": Kind(
        raw_with_times,
        one_of(image__npy=rarely(changed_npy), text__npz=rarely(changed_npz), ids__txt=changed_lines),
        use_tables,
    ),
    "parquet": Kind(
        parquet, one_of(any__parquet=change_parquet), lambda: use_tables("pairs.parquet", "text.parquet")
    ),
    "journal": Kind(served, one_of(journal__jsonl=change_journal), use_journal),
    "titles": Kind(served, one_of(titles__csv=changed_table), use_titles),
    "ids": Kind(
        served, one_of(users__txt=changed_lines), lambda: cli(recommend.main, "--model", "run", "--users", "users.txt")
    ),
    "new items": Kind(
        served,
        one_of(new__npz=rarely(changed_npz)),
        lambda: cli(recommend.main, "--model", "run", "--new-item", "new.npz"),
    ),
    "results": Kind(
        reproduced,
        one_of(any__json=changed_json, any__npz=rarely(changed_npz)),
        lambda: cli(reproduce.main, *REPRODUCE, "--report-only"),
    ),
    "model in parts": Kind(
        shards_trained,
        one_of(parts__json=changed_json, any__npz=rarely(changed_npz)),
        lambda: cli(recommend.main, "--model", "run", "--users", "all", "--topk", "3"),
    ),
    "parts": Kind(in_parts, one_of(any__parquet=change_part), lambda: cli(merge.main, "lists", "--out", "all.csv")),
    "tuned": Kind(
        tuned,
        one_of(any__json=changed_json, any__toml=changed_lines, any__npz=rarely(changed_npz)),
        lambda: cli(tune.main, *TUNE),
    ),
    "lines": Kind(for_lines, change_line, use_line),
}  # fmt: skip
if find_spec("uvicorn") is None:
    del KINDS["titles"]
COMMANDS = ("run", "ids", "new items", "results", "model in parts", "parts", "tuned", "lines")
LOADERS = tuple(name for name in KINDS if name not in COMMANDS)
"""Kinds that call readers; the others are whole commands."""
