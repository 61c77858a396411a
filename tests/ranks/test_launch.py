"""Who was started together, files in pieces, and what a rank says that has lost another."""

from __future__ import annotations

import itertools
import socket
from pathlib import Path

import numpy as np
import pytest
from in_process import on_ranks

from milk_np.errors import DataError
from milk_np.files import read_npz, write_npz_atomic
from milk_np.files.pieces import Pieces
from milk_np.ranks import witness
from milk_np.ranks.group import Ranks
from milk_np.ranks.launch import launched, launched_here
from milk_np.ranks.witness import BYE, FAILED, Peer, lost_text


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
    text = lost_text([Peer(2, 4711, "node7")])
    assert text.startswith("rank 2 (process 4711 on node7) was lost")
    assert "--resume" in text


def test_ranks_that_ended_together_are_all_named_the_first_first() -> None:
    peers = [Peer(rank, 100 + rank, "a") for rank in (3, 0, 1, 2, 4, 5)]
    two = "one of rank 3 (process 103 on a) and rank 0 (process 100 on a) was lost: it was killed"
    assert lost_text(peers[:2]).startswith(two)
    assert ", rank 2 (process 102 on a) and 2 more was lost" in lost_text(peers)


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        ([(0, BYE), (1, BYE), (2, BYE)], ""),
        ([(0, BYE), (2, b""), (1, BYE)], "rank 2 (process 12 on a) was lost"),
        ([(2, b""), (0, b"")], "one of rank 2 (process 12 on a) and rank 0 (process 10 on a) was lost"),
        ([(1, FAILED), (0, b"")], ""),
        ([(0, b""), (1, FAILED), (2, b"")], "one of rank 0 (process 10 on a) and rank 2 (process 12 on a) was lost"),
    ],
)
def test_the_witness_names_what_ended_without_a_word(
    ends: list[tuple[int, bytes]], told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """All have ended before it looks, as on a machine whose cores are busy."""
    pairs = [socket.socketpair() for _ in range(3)]
    for rank, word in ends:
        pairs[rank][1].sendall(word)
        pairs[rank][1].shutdown(socket.SHUT_WR)
    witness.attend("milk-train", {pairs[rank][0]: Peer(rank, 10 + rank, "a") for rank, _ in ends})
    for one in itertools.chain(*pairs):
        one.close()
    said = capfd.readouterr().err
    assert said.count("was lost") == bool(told)
    assert told in said
