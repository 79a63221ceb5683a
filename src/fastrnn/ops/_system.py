"""Threads and processor, of the kernels if they are installed."""

from typing import TYPE_CHECKING

from fastrnn.ops._backend import HAS_KERNELS

if TYPE_CHECKING or HAS_KERNELS:
    from fastrnn._kernels import cpu_info, get_num_threads, set_num_threads
else:
    from fastrnn._reference.system import cpu_info, get_num_threads, set_num_threads

__all__ = ["cpu_info", "get_num_threads", "set_num_threads"]
