"""An installation without compiled kernels, as one has without a C compiler: NumPy alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastrnn

WARNING = "UserWarning: fastrnn has no compiled kernels: it was built without a C compiler"
CALL = "import numpy as np, fastrnn as fr; lstm = fr.LSTM(2, 3, rng=1);"
X = "np.ones((1, 2, 2), 'float32')"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The Python files alone."""
    folder = tmp_path_factory.mktemp("source")
    left_out = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(fastrnn.__file__).parent, folder / "fastrnn", ignore=left_out)
    return folder


@pytest.fixture
def run(source):
    """Run Python there."""

    def python(*arguments, **environment):
        kept = {name: value for name, value in os.environ.items() if "FASTRNN" not in name}
        return subprocess.run(
            [sys.executable, *arguments],
            env={**kept, **environment, "PYTHONPATH": str(source)},
            capture_output=True,
            text=True,
            check=False,
        )

    return python


def test_warns_once_at_the_first_call_and_computes(run):
    calls = f"print('made'); y, _ = lstm({X}); lstm.backward(y); lstm({X}); print(y.shape)"
    done = run("-W", "always", "-c", CALL + calls)
    assert done.stdout == "made\n(1, 2, 3)\n", done.stderr
    assert done.stderr.count(WARNING) == 1 and len(done.stderr.splitlines()) <= 2
    assert run("-W", "error", "-c", CALL).stderr == ""
    assert WARNING in run("-W", "error", "-c", CALL + calls).stderr


def test_who_asks_for_numpy_is_not_warned(run):
    code = f"{CALL} lstm({X})"
    assert run("-c", code, FASTRNN_BACKEND="reference").stderr == ""
    code = f"{CALL} from fastrnn import reference; reference.LSTM(2, 3)({X})"
    assert run("-c", code).stderr == ""
    code = f"{CALL}\nwith fr.backend('reference'): lstm({X})"
    assert run("-c", code).stderr == ""


def test_the_kernels_cannot_be_chosen(run):
    last = run("-c", f"{CALL} lstm({X})", FASTRNN_BACKEND="compiled").stderr.splitlines()[-1]
    assert last.startswith(
        "ValueError: fastrnn: FASTRNN_BACKEND 'compiled' is not in this installation: it was built"
    )
    last = run("-c", f"{CALL} fr.backend('compiled')").stderr.splitlines()[-1]
    assert last.startswith("ValueError: fastrnn: backend 'compiled' is not in this installation")


def test_threads_and_processor(run):
    code = "fr.set_num_threads(3); print(fr.get_num_threads(), fr.cpu_info()['simd'])"
    assert run("-W", "error", "-c", CALL + code).stdout == "1 none\n"
    last = run("-c", CALL + "fr.set_num_threads(0)").stderr.splitlines()[-1]
    assert (
        last == "ValueError: set_num_threads: num_threads must be an integer of at least 1, got 0"
    )


def test_the_command_says_so(run, tmp_path):
    done = run("-W", "error", "-m", "fastrnn", "info")
    assert "\nkernels: none: it was built without a C compiler" in done.stdout, done.stderr
    sizes = ("--count", "200", "--hidden", "4", "--epochs", "1", "--rounds", "1")
    done = run("-m", "fastrnn", "demo", *sizes, "--out-dir", str(tmp_path))
    assert "the kernels are not installed" in done.stdout, done.stderr


def test_facts_have_the_names_of_the_kernels(run):
    done = run("-c", CALL + "print(sorted(fr.cpu_info()))")
    assert done.stdout == f"{sorted(fastrnn.cpu_info())}\n"
