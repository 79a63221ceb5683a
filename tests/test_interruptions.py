"""`fastrnn train`, stopped at any moment in any way and resumed, ends bitwise as if it had not.

``FASTRNN_KILLS=100 pytest tests/test_interruptions.py`` stops as many times at random moments.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import _storage
from fastrnn.cli import main

Model = tuple[dict[str, str], dict[str, bytes]]

# Everything random that there is, and a checkpoint after every batch.
OPTIONS = (
    "--hidden 12 --embedding 6 --layers 2 --dropout 0.2 --recurrent-dropout 0.1 --bidirectional "
    "--sampling-rate 0.3 --attention general --context input_feeding --readout tanh "
    "--batch-size 8 --epochs 3 --lr 0.01 --checkpoint-seconds 0 --patience 9"
)
KILLS = int(os.environ.get("FASTRNN_KILLS", "4"))
KEPT = "the previous checkpoint is intact"


class Run:
    """A training run in a folder of its own."""

    def __init__(self, pairs: Path, folder: Path) -> None:
        folder.mkdir()
        self.output = folder / "model"
        self.checkpoint = folder / "model.checkpoint"
        self._arguments = ["train", str(pairs), "-o", str(self.output), *OPTIONS.split()]

    @property
    def arguments(self) -> list[str]:
        return [*self._arguments, *["--resume"] * self.checkpoint.exists()]

    def finish(self) -> Model:
        """Run to the end in this process, and give all that is in the model's file."""
        assert main(self.arguments) == 0
        arrays, metadata = _storage.read(self.output)
        return metadata, {key: array.tobytes() for key, array in arrays.items()}

    def start(
        self, script: str = "from fastrnn.cli import main; raise SystemExit(main())", **options: Any
    ) -> subprocess.Popen[str]:
        """Start a process that goes on, in which signals do what they do in a terminal."""
        return subprocess.Popen(
            [sys.executable, "-c", script, *self.arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcd"), rng.integers(1, 6))) for _ in range(110)]
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    path.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words))
    return path


@pytest.fixture(scope="module")
def whole(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The model of a run that nobody stopped."""
    return Run(pairs, tmp_path_factory.mktemp("whole") / "run").finish()


def test_a_second_run_with_the_same_files_is_refused(pairs: Path, tmp_path: Path) -> None:
    run = Run(pairs, tmp_path / "run")
    other, checkpoint = ["-o", f"{run.output}2"], ["--checkpoint", str(run.checkpoint)]
    with run.start() as first:
        try:
            while not run.checkpoint.exists() and first.poll() is None:
                time.sleep(0.005)
            first.send_signal(signal.SIGSTOP)
            for arguments, path in (
                (["--overwrite"], run.output),
                (["--resume"], run.output),
                (["--overwrite", *other, *checkpoint], run.checkpoint),
                (other, None),
            ):
                command = [sys.executable, "-m", "fastrnn", *run._arguments, *arguments]
                second = subprocess.run(command, check=False, capture_output=True, text=True)
                message = f"fastrnn: error: {path}: another run is writing this file\n"
                assert path is None or second.stderr == message
                assert second.returncode == (2 if path else 0), second.stderr
        finally:
            first.kill()
    assert main(run.arguments) == 0
    names = sorted(path.name for path in tmp_path.glob("run/*"))
    assert names == ["model", "model.checkpoint", "model2", "model2.checkpoint"]


def default_sigint() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def stop(run: Run, kind: signal.Signals, seconds: float) -> int:
    """Start a run, stop it so long after it has written its checkpoint; return its exit status."""
    process = run.start(preexec_fn=default_sigint)
    written = run.checkpoint.stat().st_ino if run.checkpoint.exists() else None
    while process.poll() is None:
        if run.checkpoint.exists() and run.checkpoint.stat().st_ino != written:
            break
        time.sleep(0.005)
    time.sleep(seconds)
    process.send_signal(kind)
    _, err = process.communicate(timeout=60)
    if process.returncode == -signal.SIGINT:  # while the interpreter was leaving, all work done
        assert run.output.exists(), err
        return process.returncode
    assert process.returncode in (0, -signal.SIGKILL, 130), err
    if process.returncode == 130:
        assert err.splitlines()[-1].endswith(f"; saved to {run.checkpoint}"), err
    return process.returncode


def test_at_random_moments(pairs: Path, whole: Model, tmp_path: Path) -> None:
    rng, stopped = np.random.default_rng(), 0
    while stopped < KILLS:
        run, first = Run(pairs, tmp_path / str(stopped)), stopped
        while stopped < KILLS and not run.output.exists():
            kind = (signal.SIGKILL, signal.SIGINT)[stopped % 2]
            # The first time at once: the run must not be done before.
            stopped += bool(stop(run, kind, rng.uniform(0, 0.1) if stopped > first else 0))
        assert run.finish() == whole
        assert sorted(path.name for path in run.output.parent.iterdir()) == [
            "model",
            "model.checkpoint",
        ]


# Put before the command: what dies, in its `number`th save, and when.
DIE = """
import os, signal
from fastrnn import _storage

def die():
    os.kill(os.getpid(), signal.SIGKILL)

saves = 0

def count():
    global saves
    saves += 1
    return saves == {number}

class Half:
    def __init__(self, file):
        self._file = file
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self._file.close()
    def __getattr__(self, name):
        return getattr(self._file, name)
    def write(self, data):
        if count():
            self._file.write(data[: len(data) // 2])
            self._file.flush()
            die()
        self._file.write(data)

real_replace = os.replace

def replace(*paths):
    last = count()
    if last and {moment!r} == "before":
        die()
    real_replace(*paths)
    if last:
        die()

if {moment!r} == "half":
    _storage.open = lambda path, mode: Half(open(path, mode))
else:
    os.replace = replace
from fastrnn.cli import main
raise SystemExit(main())
"""


def test_in_the_middle_of_saving(pairs: Path, whole: Model, tmp_path: Path) -> None:
    run = Run(pairs, tmp_path / "run")
    before, left = None, set()
    for moment, number in (("after", 3), ("half", 6), ("before", 2)):
        process = run.start(DIE.format(moment=moment, number=number))
        _, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, err
        assert run.checkpoint.read_bytes() != before
        before = run.checkpoint.read_bytes()
        left |= {path.name for path in tmp_path.glob("run/.fastrnn-*")}
    assert len(left) <= 4  # a temporary file and its lock, and two locks of the run
    assert run.finish() == whole
    assert sorted(path.name for path in tmp_path.glob("run/*")) == ["model", "model.checkpoint"]


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


def test_a_disk_that_takes_no_more(pairs: Path, whole: Model, tmp_path: Path) -> None:
    run = Run(pairs, tmp_path / "run")
    main([*run.arguments, "--epochs", "1"])
    before = run.checkpoint.read_bytes()
    process = run.start(preexec_fn=limit_files)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == f"fastrnn: error: {run.checkpoint}: File too large; {KEPT}\n"
    assert run.checkpoint.read_bytes() == before
    assert sorted(path.name for path in tmp_path.glob("run/*")) == ["model", "model.checkpoint"]
    assert run.finish() == whole


@pytest.mark.parametrize("full", ["checkpoint", "output"])
def test_a_full_disk(
    full: str,
    pairs: Path,
    whole: Model,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(pairs, tmp_path / "run")
    replace: Callable[..., None] = os.replace
    saves = 0

    def fail(source: str, target: Path) -> None:
        nonlocal saves
        saves += 1
        if target == getattr(run, full) and saves > 20:
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fail)
        assert main(run.arguments) == 2
    rest = {
        "checkpoint": KEPT,
        "output": f"the run is complete in {run.checkpoint}, and --resume writes the model",
    }
    message = f"fastrnn: error: {getattr(run, full)}: No space left on device; {rest[full]}\n"
    assert capsys.readouterr().err.endswith(message)
    assert run.finish() == whole
