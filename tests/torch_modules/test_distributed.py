from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

WORKER = Path(__file__).with_name("distributed_worker.py")
PROCESSES = 2


@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch was built without it")
def test_two_processes_average_their_gradients(tmp_path):
    arguments = [str(PROCESSES), str(tmp_path / "meeting")]
    workers = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), *arguments])
        for rank in range(PROCESSES)
    ]
    try:
        assert [worker.wait(timeout=120) for worker in workers] == PROCESSES * [0]
    finally:
        for worker in workers:
            worker.kill()
