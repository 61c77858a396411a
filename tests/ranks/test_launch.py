"""Who was started together, files in pieces, and what a rank says that has lost another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from in_process import on_ranks

from milk_np.errors import DataError
from milk_np.files import read_npz, write_npz_atomic
from milk_np.files.pieces import Pieces
from milk_np.ranks.group import Ranks
from milk_np.ranks.launch import launched, launched_here
from milk_np.ranks.witness import Peer, lost_text


@pytest.mark.parametrize(
    ("environment", "count", "here"),
    [
        ({}, 1, 1),
        ({"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}, 4, 2),
        ({"PMI_SIZE": "3", "MPI_LOCALNRANKS": "3"}, 3, 3),
        ({"PMIX_RANK": "0", "SLURM_NTASKS": "8"}, 8, 1),
        ({"SLURM_NTASKS": "8"}, 1, 1),  # a job of Slurm that starts commands itself
        ({"PMI_SIZE": "many"}, 1, 1),
    ],
)
def test_the_launcher_tells_how_many_there_are(environment: dict[str, str], count: int, here: int) -> None:
    assert (launched(environment), launched_here(environment)) == (count, here)


@pytest.mark.parametrize("shape", [(7, 3), (5,), (0, 4)])
def test_an_array_in_pieces_is_the_same_file(tmp_path: Path, shape: tuple[int, ...]) -> None:
    table = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    pieces = Pieces(table.shape, table.dtype, lambda: (table[:2], table[2:2], table[2:]))
    write_npz_atomic(tmp_path / "whole.npz", {"P": table, "b": np.ones(2)}, {"kind": "x"})
    write_npz_atomic(tmp_path / "pieces.npz", {"P": pieces, "b": np.ones(2)}, {"kind": "x"})
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "pieces.npz").read_bytes()
    for first, last in ((0, 2), (1, 9), (3, 3)):
        found, _ = read_npz(tmp_path / "pieces.npz", "x", {"P": slice(first, last)})
        np.testing.assert_array_equal(found["P"], table[first:last])
        np.testing.assert_array_equal(found["b"], np.ones(2))


def test_rows_of_a_damaged_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    write_npz_atomic(path, {"P": np.ones((50, 4), np.float32)}, {"kind": "x"})
    content = bytearray(path.read_bytes())
    content[content.index(np.ones(4, np.float32).tobytes()) + 700] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="'P' can't be read"):
        read_npz(path, "x", {"P": slice(0, 2)})


def test_an_error_on_rank_0_is_one_on_all() -> None:
    def work(ranks: Ranks) -> str:
        def fail() -> None:
            raise DataError("no such thing")

        with pytest.raises(DataError, match="no such thing"):
            ranks.on_first(fail)
        return ranks.on_first(lambda: "done")

    assert on_ranks(3, work) == ["done"] * 3


def test_a_lost_rank_is_named_with_what_to_do() -> None:
    text = lost_text(Peer(2, 4711, "node7"))
    assert "rank 2 (process 4711 on node7) was lost" in text
    assert "--resume" in text
