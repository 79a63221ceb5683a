"""Builds the compiled kernels: Cython modules at the baseline, C once per instruction set.

Without a C compiler, or with ``FASTRNN_PURE=1``, nothing is built: the NumPy backend alone is
installed. Everything else about the package is in pyproject.toml.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import NamedTuple

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
# Ways to multiply 8-bit integers, the best first: the set whose panels they read, further flags.
INT8_WAYS = {
    "avx512_vnni": ("avx512", ["-mavx512vnni"]),
    "avx512": ("avx512", []),
    "avx_vnni": ("avx2", ["-mavxvnni"]),
    "avx2": ("avx2", []),
    "neon": ("neon", []),
    "generic": ("generic", []),
}
WINDOWS = sys.platform == "win32"
BUILDING = {"build", "build_ext", "bdist_wheel", "develop", "editable_wheel", "install"}
# What the kernels include, and the packages of Debian and Fedora that bring it.
HEADERS = {
    "math.h": "build-essential (Debian, Ubuntu), gcc (Fedora) or musl-dev (Alpine)",
    "Python.h": "python3-dev (Debian, Ubuntu, Alpine) or python3-devel (Fedora)",
}


class Unit(NamedTuple):
    """A C file that is compiled for an instruction set."""

    name: str
    folder: str
    source: str
    isa: str
    real_bytes: int
    flags: list[str]


class BuildKernels(build_ext):
    """Compiles the C of every instruction set into the `cpu` module.

    That is simd/kernels.c for each real type, and simd/int8.c for each way to multiply 8 bits.
    """

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        if WINDOWS:  # MSVC has no vector extensions; its linker is right for clang-cl
            self.compiler.initialize()
            self.compiler.cc = shutil.which(*c_command())
        openmp = self.openmp_flags()
        units = [*self.kernel_units(), *self.int8_units()]
        with ThreadPoolExecutor(self.parallel) as pool:
            objects = list(pool.map(self.compile_unit, units))
        have = sorted({f"FR_HAVE_{unit.name.upper()}" for unit in units})
        for extension in self.extensions:
            extension.extra_compile_args = spelled([*C_FLAGS, *openmp])
            extension.extra_link_args = self.link_flags(openmp)
            extension.depends = ["setup.py", *with_includes(extension.sources)]
            if is_cpu(extension.name):
                extension.extra_objects = objects
                extension.depends += objects
                extension.define_macros += [(macro, "1") for macro in have]
        super().build_extensions()

    def kernel_units(self):
        """simd/kernels.c for every instruction set and real type."""
        one_multiply_add = self.whole_multiply_adds()
        return [
            Unit(name, f"{name}_{size}", "kernels.c", name, size, [*flags, *one_multiply_add])
            for (name, (*_, flags)), size in product(SETS.items(), (4, 8))
            if self.compiles(flags)
        ]

    def int8_units(self):
        """simd/int8.c for every way to multiply 8 bits."""
        for name, (isa, flags) in INT8_WAYS.items():
            flags = [*SETS[isa][-1], *flags]
            if self.compiles(flags):
                # What is not fused gives the same bits with every instruction set.
                flags = [*flags, "-ffp-contract=off", f"-DFR_INT8={name}"]
                yield Unit(f"int8_{name}", f"int8_{name}", "int8.c", isa, 4, flags)

    def compile_unit(self, unit):
        """The object file of a unit; one that is newer than what it includes stays."""
        source, folder = str(SIMD / unit.source), str(Path(self.build_temp) / unit.folder)
        vector_bytes, registers, _ = SETS[unit.isa]
        (path,) = self.compiler.object_filenames([source], output_dir=folder)
        if self.force or newer_group(["setup.py", *with_includes([source])], path):
            self.compiler.compile(
                [source],
                output_dir=folder,
                macros=[
                    ("FR_ISA", unit.isa),
                    ("FR_VECTOR_BYTES", str(vector_bytes)),
                    ("FR_REGISTERS", str(registers)),
                    ("FR_REAL_BYTES", str(unit.real_bytes)),
                ],
                include_dirs=[str(SIMD)],
                extra_postargs=spelled([*C_FLAGS, *unit.flags]),
            )
        return path

    def copy_extensions_to_source(self):
        self.force = True  # a release that is older than the debug build there must replace it
        super().copy_extensions_to_source()

    def whole_multiply_adds(self):
        """What keeps GCC 13 from splitting the multiply-adds of some loops, as its tuning asks.

        A row's result would depend on the tile that it is in.
        """
        flags = ["--param=avoid-fma-max-bits=0"]
        return flags if self.compiles(flags) else []

    def openmp_flags(self):
        """The flags of GCC and Clang, or of Apple's Clang with the library of LLVM beside it."""
        program = "#include <omp.h>\nint main(void) { return omp_get_max_threads() == 0; }\n"
        for flags in (["-fopenmp"], ["-Xpreprocessor", "-fopenmp", "-lomp"]):
            if self.compiles(flags, program, link=not WINDOWS):
                return flags
        return []

    def link_flags(self, openmp):
        if WINDOWS:  # LLVM's library lies beside its compiler
            folder = Path(self.compiler.cc).parents[1] / "lib"
            return [str(folder / "libomp.lib")] if openmp else []
        strip = sys.platform.startswith("linux") and not DEBUG
        return [*openmp, *(["-Wl,-s"] if strip else [])]

    def compiles(self, flags, program="int main(void) { return 0; }\n", link=False):
        """Whether the compiler takes these flags."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.c"
            source.write_text(program)
            try:
                with no_complaints():
                    objects = self.compiler.compile(
                        [str(source)], output_dir=folder, extra_postargs=spelled(flags)
                    )
                    if link:
                        self.compiler.link_executable(
                            objects, str(Path(folder) / "probe"), extra_postargs=spelled(flags)
                        )
            except (CompileError, LinkError):
                return False
        return True


def spelled(flags):
    """Flags of GCC and Clang as the compiler in use takes them."""
    return [f"/clang:{flag}" for flag in flags] if WINDOWS else flags


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


def c_command():
    """The C compiler that CC names, else Python's; on Windows the only one that will do."""
    if WINDOWS:
        return ["clang-cl"]
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


def reason_for_numpy_alone():
    """Why no kernels are built; empty if they are."""
    if os.environ.get("FASTRNN_PURE", "0") not in ("", "0"):
        return "FASTRNN_PURE is set"
    command = c_command()[0]
    return "" if shutil.which(command) else f"there is no C compiler ({command})"


def require_headers():
    """End the build with what to install where the compiler lacks a header."""
    if WINDOWS:
        return
    named = c_command()
    flags = shlex.split(" ".join(os.environ.get(name, "") for name in ("CPPFLAGS", "CFLAGS")))
    folders = [f"-I{sysconfig.get_path(name)}" for name in ("include", "platinclude")]
    for header, packages in HEADERS.items():
        done = subprocess.run(
            [*named, *flags, *folders, "-E", "-x", "c", "-"],
            input=f"#include <{header}>\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            sys.exit(
                f"fastrnn: {named[0]} finds no {header}: install {packages}; "
                "or set FASTRNN_PURE=1 and have NumPy alone"
            )


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
    import numpy as np

    name = ".".join(path.relative_to("src").with_suffix("").parts)
    return Extension(
        name,
        [str(path), *([str(SIMD / "dispatch.c")] if is_cpu(name) else [])],
        include_dirs=[str(SIMD), np.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
    )


def extensions():
    """The compiled modules, or none."""
    reason, building = reason_for_numpy_alone(), BUILDING & set(sys.argv)
    if reason:
        if building:
            message = "the NumPy backend alone is installed, which is many times slower"
            print(f"fastrnn: {reason}: {message}", file=sys.stderr)
        return []
    if building:
        require_headers()
    from Cython.Build import cythonize

    return cythonize(
        [extension(path) for path in sorted(KERNELS.rglob("*.pyx"))],
        build_dir=str(BUILD / "cython"),
        include_path=["src"],
        compiler_directives={
            "language_level": 3,
            "freethreading_compatible": True,
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": DEBUG,
            "nonecheck": DEBUG,
        },
    )


setup(
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildKernels},
    options={"build": {"build_base": str(BUILD)}},
)
