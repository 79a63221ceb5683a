"""Which backends the tests can use."""

import pytest

from fastrnn.ops._backend import HAS_KERNELS, INSTALLED, NO_KERNELS

BACKENDS = INSTALLED
needs_kernels = pytest.mark.skipif(not HAS_KERNELS, reason=NO_KERNELS)
