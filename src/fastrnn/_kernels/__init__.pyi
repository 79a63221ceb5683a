"""The functions of the reference, and what only the kernels have."""

from fastrnn._kernels.runtime.system import cpu_info as cpu_info
from fastrnn._kernels.runtime.system import get_num_threads as get_num_threads
from fastrnn._kernels.runtime.system import set_num_threads as set_num_threads
from fastrnn._reference import *  # noqa: F403
