"""The NumPy reference: the same layers on the other backend."""

from __future__ import annotations

from contenders.fastrnn_compiled import Fastrnn
from fastrnn import reference


class Reference(Fastrnn):
    name = "reference"
    backend = "reference"
    layers = reference


CONTENDER = Reference
