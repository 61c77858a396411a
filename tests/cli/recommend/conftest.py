"""The shop and its command line, for tests of lists by the batch."""

from __future__ import annotations

import csv
import io

import pytest
from shop_cases import Call, Shop, Shown
from trained_cases import make_trained

from milk_np.cli import recommend, train
from milk_np.models.stored import load


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    trained, run = make_trained(folder), str(folder / "best")
    size = ["--landmarks", "60", "--profile-width", "12", "--kernel-noise", ".05", "--whitening", "0", "--topk", "5"]
    assert train.main(["--data", trained.data, "--model", "kernel-profile", *size, "--out", run, "--quiet"]) == 0
    return Shop(run, trained, load(f"{run}/model.npz"))


@pytest.fixture
def call(shop: Shop, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a line on the shop's model."""

    def run(*line: str) -> Shown:
        capsys.readouterr()
        code = recommend.main(["--model", shop.run, *line])
        shown = capsys.readouterr()
        return Shown(code, list(csv.DictReader(io.StringIO(shown.out))), shown.err)

    return run
