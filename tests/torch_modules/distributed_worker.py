"""One of the processes of test_distributed.py: gradients of DistributedDataParallel over gloo.

Arguments: rank, number of processes, the file where they meet.
"""

from __future__ import annotations

import copy
import sys

import torch
from torch.nn.parallel import DistributedDataParallel

import fastrnn.torch


def loss(model, rank):
    x = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(rank))
    return model(x)[0].square().mean()


def main():
    rank, count, meeting = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=count
    )
    torch.manual_seed(0)
    alone = fastrnn.torch.LSTM(3, 4, 2, bidirectional=True)
    together = DistributedDataParallel(copy.deepcopy(alone))
    for _ in range(2):  # buckets are rebuilt after the first
        together.zero_grad()
        loss(together, rank).backward()
    for each in range(count):
        (loss(alone, each) / count).backward()
    for found, wanted in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
