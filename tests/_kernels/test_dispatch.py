"""What the environment chooses at import."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fastrnn import _kernels
from fastrnn._kernels.runtime import cpu

VARIABLES = ("FASTRNN_SIMD", "FASTRNN_NUM_THREADS", "OMP_NUM_THREADS")


def in_new_process(code, **variables):
    """Run code after importing the kernels with only these variables of ours set."""
    rest = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-c", f"from fastrnn import _kernels; {code}"],
        env=rest | variables,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize("name", ["", *cpu.supported()])
def test_instruction_set_from_the_environment(name):
    process = in_new_process("print(_kernels.cpu_info()['simd'])", FASTRNN_SIMD=name)
    assert process.stdout.strip() == (name or cpu.supported()[0]), process.stderr


def test_cpu_info(isa):
    info = _kernels.cpu_info()
    assert info["simd"] == isa == cpu.chosen()
    assert info["supported"] == cpu.supported()
    assert info["supported"][-1] == "generic"


@pytest.mark.parametrize("name", ["sse9", "AVX2", "generic ", b"avx2", None])
def test_an_unknown_instruction_set_changes_nothing(isa, name):
    with pytest.raises(ValueError, match=r"^FASTRNN_SIMD: .*wanted one of .*generic$"):
        cpu.choose(name)
    assert cpu.chosen() == isa


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({"FASTRNN_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"FASTRNN_NUM_THREADS": "3", "OMP_NUM_THREADS": "5"}, 3),
        ({"FASTRNN_NUM_THREADS": "", "OMP_NUM_THREADS": "4"}, 4),
    ],
)
def test_threads_from_the_environment(variables, wanted):
    process = in_new_process("print(_kernels.get_num_threads())", **variables)
    assert process.stdout.strip() == str(wanted), process.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FASTRNN_SIMD", "sse9"),
        ("FASTRNN_NUM_THREADS", "0"),
        ("FASTRNN_NUM_THREADS", "many"),
    ],
)
def test_a_wrong_variable_is_one_clear_line(name, value):
    process = in_new_process("pass", **{name: value})
    assert process.returncode == 1
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ValueError: {name}")
    assert value in last
