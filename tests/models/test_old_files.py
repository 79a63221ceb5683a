"""Files written by earlier versions give what they gave then."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from fastrnn.models import load_with_extra, save

FILES = sorted((Path(__file__).parent / "old_files").glob("*.safetensors"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_old_file_gives_what_it_gave(path: Path, tmp_path: Path) -> None:
    """Each file has a batch, its loss and the generated ids, from before the option `readout`."""
    for written in ("then", "now"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model, then = load_with_extra(path)
        assert len(caught) == (1 if written == "then" else 0)
        model.eval()
        loss = model.loss(then["source"], then["lengths"], then["target"])
        assert loss == pytest.approx(then["loss"], rel=1e-12)
        ids = model.generate(then["source"], then["lengths"], max_length=8)
        np.testing.assert_array_equal(ids, then["ids"])
        path = tmp_path / "again"
        save(model, path, extra=then)


def test_there_are_old_files() -> None:
    assert {path.stem for path in FILES} == {"attention", "peeky", "plain"}
