"""Builds the compiled kernels: Cython modules at the baseline, C once per instruction set.

Everything else about the package is in pyproject.toml.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError

KERNELS = Path("src/fastrnn/_kernels")
SIMD = KERNELS / "simd"
C_FLAGS = [
    "-std=gnu11",
    "-O3",
    "-g0",
    "-fvisibility=hidden",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-Wno-unknown-pragmas",
]
# name: (bytes of a vector, compiler flags); the order is that of preference.
X86_SETS = {
    "avx512": (
        64,
        [
            *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
            "-mprefer-vector-width=512",
        ],
    ),
    "avx2": (32, ["-mavx2", "-mfma"]),
}
GENERIC = {"generic": (16, [])}


class BuildKernels(build_ext):
    """Compiles simd/kernels.c for every instruction set and real type into the `cpu` module."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        openmp = self.openmp_flags()
        sets = self.instruction_sets()
        whole = self.whole_multiply_adds()
        objects = [
            self.compile_kernels(name, size, [*flags, *whole])
            for name, (size, flags) in sets.items()
        ]
        for extension in self.extensions:
            extension.extra_compile_args = [*C_FLAGS, *openmp]
            extension.extra_link_args = [*openmp, *self.strip_flags()]
            if extension.name == "fastrnn._kernels.runtime.cpu":
                extension.extra_objects = [path for pair in objects for path in pair]
                extension.define_macros += [(f"FR_HAVE_{name.upper()}", "1") for name in sets]
        super().build_extensions()

    def compile_kernels(self, name, vector_bytes, flags):
        """Object files of one instruction set, for float and double."""
        objects = []
        for real_bytes in (4, 8):
            macros = [("FR_ISA", name), ("FR_VECTOR_BYTES", str(vector_bytes))]
            objects += self.compiler.compile(
                [str(SIMD / "kernels.c")],
                output_dir=str(Path(self.build_temp) / f"{name}_{real_bytes}"),
                macros=[*macros, ("FR_REAL_BYTES", str(real_bytes))],
                extra_postargs=[*C_FLAGS, *flags],
                depends=[str(path) for path in SIMD.rglob("*.*")],
            )
        return objects

    def instruction_sets(self):
        if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
            return GENERIC
        usable = {name: spec for name, spec in X86_SETS.items() if self.compiles(spec[1])}
        return usable | GENERIC

    def whole_multiply_adds(self):
        """What keeps GCC 13 from splitting the multiply-adds of some loops, as its tuning asks.

        A row's result would depend on the tile that it is in.
        """
        flags = ["--param=avoid-fma-max-bits=0"]
        return flags if self.compiles(flags) else []

    def openmp_flags(self):
        program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() == 0; }\n"
        return ["-fopenmp"] if self.compiles(["-fopenmp"], program, link=True) else []

    def strip_flags(self):
        return ["-Wl,-s"] if sys.platform.startswith("linux") else []

    def compiles(self, flags, program="int main(void) { return 0; }\n", link=False):
        """Whether the compiler takes these flags."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=flags
                )
                if link:
                    self.compiler.link_executable(
                        objects, str(Path(folder) / "probe"), extra_postargs=flags
                    )
            except (CompileError, LinkError):
                return False
        return True


def extension(path):
    sources = [str(path)]
    if path.stem == "cpu":
        sources.append(str(SIMD / "dispatch.c"))
    return Extension(
        ".".join(path.relative_to("src").with_suffix("").parts),
        sources,
        include_dirs=[str(SIMD), np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
        depends=[str(path) for path in [*SIMD.rglob("*.*"), *KERNELS.rglob("*.pxd")]],
    )


setup(
    ext_modules=cythonize(
        [extension(path) for path in sorted(KERNELS.rglob("*.pyx"))],
        include_path=["src"],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        },
    ),
    cmdclass={"build_ext": BuildKernels},
)
