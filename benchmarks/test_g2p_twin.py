"""The twin in PyTorch: without dropout both models have the same loss on every batch."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest

import fastrnn

torch = pytest.importorskip("torch")
import g2p_twin  # noqa: E402


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    ours, theirs = fastrnn.get_num_threads(), torch.get_num_threads()
    yield
    fastrnn.set_num_threads(ours)
    torch.set_num_threads(theirs)


def test_both_models_learn_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = "--batches 12 --hidden 16 --batch-size 16 --words 100 --dropout 0 --threads 1"
    monkeypatch.setattr(sys, "argv", ["g2p_twin.py", *sizes.split()])
    g2p_twin.main()
    printed = capsys.readouterr().out
    assert "1 threads, 12 batches" in printed
    losses = [float(loss) for loss in re.findall(r"(\d\.\d{4}) +\d\.\d{4}$", printed, re.M)]
    assert losses[-1] < losses[0]
    gap = re.search(r"largest difference on one batch (\S+)", printed)
    assert gap and float(gap[1]) < 1e-4
