"""Builds the compiled kernels: Cython modules at the baseline, C once per instruction set.

Everything else about the package is in pyproject.toml.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError
from setuptools.modified import newer_group

KERNELS = Path("src/fastrnn/_kernels")
SIMD = KERNELS / "simd"
DEBUG = os.environ.get("FASTRNN_DEBUG", "0") != "0"
BUILD = Path("build/debug" if DEBUG else "build")
# GCC fuses multiply-adds among the expensive optimizations: without them a debug build would give
# other results than a release.
C_FLAGS = [
    "-std=gnu11",
    *(["-O1", "-fexpensive-optimizations", "-g", "-UNDEBUG"] if DEBUG else ["-O3", "-g0"]),
    "-fvisibility=hidden",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-Wno-unknown-pragmas",
]
# name: (bytes of a vector, vector registers, compiler flags); the order is that of preference. A
# set is built if the compiler takes its flags: it takes those of its own kind of processor only.
SETS = {
    "avx512": (
        64,
        32,
        [
            *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
            "-mprefer-vector-width=512",
        ],
    ),
    "avx2": (32, 16, ["-mavx2", "-mfma"]),
    "neon": (16, 32, ["-march=armv8-a+simd"]),
    "generic": (16, 16, []),
}


class BuildKernels(build_ext):
    """Compiles simd/kernels.c for every instruction set and real type into the `cpu` module."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        openmp = self.openmp_flags()
        sets = self.instruction_sets()
        objects = self.compile_kernels(sets, self.whole_multiply_adds())
        for extension in self.extensions:
            extension.extra_compile_args = [*C_FLAGS, *openmp]
            extension.extra_link_args = [*openmp, *self.strip_flags()]
            extension.depends = ["setup.py", *with_includes(extension.sources)]
            if is_cpu(extension.name):
                extension.extra_objects = objects
                extension.depends += objects
                extension.define_macros += [(f"FR_HAVE_{name.upper()}", "1") for name in sets]
        super().build_extensions()

    def compile_kernels(self, sets, flags):
        """Object files of simd/kernels.c; those that are newer than what they include stay."""
        source = str(SIMD / "kernels.c")
        depends = ["setup.py", *with_includes([source])]

        def compile_one(name, real_bytes):
            vector_bytes, registers, set_flags = sets[name]
            folder = str(Path(self.build_temp) / f"{name}_{real_bytes}")
            (path,) = self.compiler.object_filenames([source], output_dir=folder)
            if self.force or newer_group(depends, path):
                self.compiler.compile(
                    [source],
                    output_dir=folder,
                    macros=[
                        ("FR_ISA", name),
                        ("FR_VECTOR_BYTES", str(vector_bytes)),
                        ("FR_REGISTERS", str(registers)),
                        ("FR_REAL_BYTES", str(real_bytes)),
                    ],
                    include_dirs=[str(SIMD)],
                    extra_postargs=[*C_FLAGS, *set_flags, *flags],
                )
            return path

        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(compile_one, *zip(*product(sets, (4, 8)), strict=True)))

    def copy_extensions_to_source(self):
        self.force = True  # a release that is older than the debug build there must replace it
        super().copy_extensions_to_source()

    def instruction_sets(self):
        return {name: spec for name, spec in SETS.items() if self.compiles(spec[-1])}

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
        return ["-Wl,-s"] if sys.platform.startswith("linux") and not DEBUG else []

    def compiles(self, flags, program="int main(void) { return 0; }\n", link=False):
        """Whether the compiler takes these flags."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(program)
            try:
                with no_complaints():
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


@contextmanager
def no_complaints():
    """Discard what a compiler says to standard error."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


def is_cpu(name):
    """Whether this module holds the kernels of all instruction sets."""
    return name.split(".")[-1] == "cpu"


def with_includes(sources):
    """These C files and the project's files that they include, directly or not."""
    found, waiting = [], list(sources)
    while waiting:
        path = waiting.pop()
        if path not in found and os.path.exists(path):
            found.append(path)
            for name in re.findall(r'^ *# *include "(.+)"', Path(path).read_text(), re.MULTILINE):
                folders = (os.path.dirname(path), str(SIMD))
                waiting += [os.path.normpath(os.path.join(folder, name)) for folder in folders]
    return found


def extension(path):
    name = ".".join(path.relative_to("src").with_suffix("").parts)
    return Extension(
        name,
        [str(path), *([str(SIMD / "dispatch.c")] if is_cpu(name) else [])],
        include_dirs=[str(SIMD), np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    )


setup(
    ext_modules=cythonize(
        [extension(path) for path in sorted(KERNELS.rglob("*.pyx"))],
        build_dir=str(BUILD / "cython"),
        include_path=["src"],
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": DEBUG,
            "nonecheck": DEBUG,
        },
    ),
    cmdclass={"build_ext": BuildKernels},
    options={"build": {"build_base": str(BUILD)}},
)
