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
WINDOWS = sys.platform == "win32"
BUILDING = {"build", "build_ext", "bdist_wheel", "develop", "editable_wheel", "install"}
# What the kernels include, and the packages of Debian and Fedora that bring it.
HEADERS = {
    "math.h": "build-essential (Debian, Ubuntu), gcc (Fedora) or musl-dev (Alpine)",
    "Python.h": "python3-dev (Debian, Ubuntu, Alpine) or python3-devel (Fedora)",
}


class BuildKernels(build_ext):
    """Compiles simd/kernels.c for every instruction set and real type into the `cpu` module."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        if WINDOWS:  # MSVC has no vector extensions; its linker is right for clang-cl
            self.compiler.initialize()
            self.compiler.cc = shutil.which(*c_command())
        openmp = self.openmp_flags()
        sets = self.instruction_sets()
        objects = self.compile_kernels(sets, self.whole_multiply_adds())
        for extension in self.extensions:
            extension.extra_compile_args = spelled([*C_FLAGS, *openmp])
            extension.extra_link_args = self.link_flags(openmp)
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
                    extra_postargs=spelled([*C_FLAGS, *set_flags, *flags]),
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
