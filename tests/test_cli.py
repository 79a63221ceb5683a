from __future__ import annotations

import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastrnn import layers
from fastrnn.cli import main
from fastrnn.models import LanguageModel, Translator, save

SMALL = ["--hidden", "16", "--embedding", "8", "--batch-size", "32", "--epochs", "2"]


@pytest.fixture(scope="module")
def tsv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 words and their reversals."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcde"), rng.integers(1, 6))) for _ in range(200)]
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    path.write_text("".join(f"{word}\t{word[::-1]}\n" for word in words), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(tsv: Path) -> Path:
    path = tsv.with_name("model.safetensors")
    assert main(["train", str(tsv), "-o", str(path), *SMALL]) == 0
    return path


def failure(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one line that a failing command prints."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as exit:  # argparse's way
        code = exit.code  # type: ignore[assignment]
    printed = capsys.readouterr()
    assert code == 2
    assert printed.err.startswith("fastrnn: error: ")
    assert printed.err.count("\n") == 1
    return printed.err[len("fastrnn: error: ") : -1]


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    sizes = ["--count", "400", "--hidden", "8", "--epochs", "2", "--rounds", "2"]
    assert main(["demo", *sizes, "--out-dir", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "360 dates to learn from, 40 held out" in out
    assert "epoch 2:" in out and "ratio" in out
    answers = [line for line in out.splitlines() if "should be" in line]
    assert len(answers) == 12
    assert (folder / "attention.png").read_bytes().startswith(b"\x89PNG")
    assert len(Translator.load(folder / "dates.safetensors")(["8/3/14"])) == 1


def test_the_demo_shows_equal_losses_on_both_backends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--count", "400", "--hidden", "8", "--epochs", "1", "--rounds", "3"]
    assert main(["demo", *sizes, "--out-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    (head,) = (i for i, line in enumerate(lines) if line.startswith("  step"))
    for line in lines[head + 1 : head + 4]:
        compiled, reference = (float(field) for field in line.split()[3::3])
        assert compiled == pytest.approx(reference, rel=1e-4)


def test_the_demo_without_matplotlib(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "matplotlib":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    sizes = ["--count", "200", "--hidden", "8", "--epochs", "1", "--rounds", "1"]
    assert main(["demo", *sizes, "--out-dir", str(tmp_path)]) == 0
    assert "fastrnn[plot]" in capsys.readouterr().out
    assert not (tmp_path / "attention.png").exists()


def test_translate_arguments_and_standard_input(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["abc", "de", "", "zz"]
    assert main(["translate", str(model), *texts]) == 0
    wanted = capsys.readouterr().out
    assert wanted == "".join(f"{answer}\n" for answer in Translator.load(model)(texts))
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{text}\n" for text in texts)))
    assert main(["translate", str(model)]) == 0
    assert capsys.readouterr().out == wanted
    assert main(["translate", str(model), "abcde", "--max-length", "1"]) == 0
    assert len(capsys.readouterr().out) <= 2


def test_training_learns(tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.safetensors"
    options = "--cell gru --attention general --bidirectional --hidden 32 --epochs 40 --lr 0.01"
    arguments = [*options.split(), "--batch-size", "20", "--valid-fraction", "0"]
    assert main(["train", str(tsv), "-o", str(path), *arguments]) == 0
    pairs = [line.split("\t") for line in tsv.read_text(encoding="utf-8").splitlines()]
    answers = Translator.load(path)([source for source, _ in pairs])
    assert np.mean([answer == pair[1] for answer, pair in zip(answers, pairs, strict=True)]) > 0.7
    assert str(path) in capsys.readouterr().out


def test_training_with_every_option(tsv: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    options = (
        "--words --cell rnn --layers 2 --attention none --peeky --reverse --dropout 0.1 --clip 1 "
        "--valid-fraction 0.2 --patience 1 --seed 3 --lr 0.01"
    )
    assert main(["train", str(tsv), "-o", str(path), *SMALL, *options.split()]) == 0
    translator = Translator.load(path)
    assert translator.source.level == "word"
    config = translator.model.config()
    assert (config["cell"], config["num_layers"], config["attention"]) == ("rnn", 2, None)
    assert config["peeky"] and config["reverse_source"] and config["dropout"] == 0.1


def test_resumed_training_ends_like_one_that_never_stopped(tsv: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    main(["train", str(tsv), "-o", str(once), *SMALL])
    main(["train", str(tsv), "-o", str(twice), *SMALL, "--epochs", "1"])
    assert main(["train", str(tsv), "-o", str(twice), *SMALL, "--resume"]) == 0
    whole, stopped = (Translator.load(path).model.params for path in (once, twice))
    for key, param in whole.items():
        np.testing.assert_array_equal(param, stopped[key], err_msg=key)


def start(*arguments: Any) -> subprocess.Popen[str]:
    """Start the command as its own process, in which Ctrl-C works as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "fastrnn", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_ctrl_c_saves_says_where_and_can_be_resumed(tsv: Path, tmp_path: Path) -> None:
    output, checkpoint = tmp_path / "m.safetensors", tmp_path / "run"
    arguments = ["train", tsv, "-o", output, *SMALL, "--checkpoint", checkpoint]
    process = start(*arguments, "--epochs", 100_000)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1].startswith("fastrnn: stopped ")
    assert err.endswith(f"saved to {checkpoint}\n")
    assert not output.exists()
    assert main([*map(str, arguments), "--epochs", "1", "--resume"]) == 0
    assert output.exists()


def test_a_reader_that_leaves_is_no_error(model: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fastrnn", "translate", str(model), *["abc"] * 20_000],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1


def test_info(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for name in ("fastrnn: 0", "python: 3.", "numpy: ", "backend: ", "threads: "):
        assert name in out


@pytest.mark.parametrize(
    ("name", "code", "out", "err"),
    [
        ("reference", 0, "\nbackend: reference\n", ""),
        ("fast", 2, "", "FASTRNN_BACKEND must be one of compiled, reference, got 'fast'\n"),
    ],
)
def test_the_backend_of_the_environment(
    name: str, code: int, out: str, err: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTRNN_BACKEND", name)
    process = start("info")
    printed = process.communicate(timeout=60)
    assert process.returncode == code
    assert out in printed[0] and printed[1].endswith(err) and printed[1].count("\n") == bool(err)


def test_threads(tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--threads", "1"]) == 0
    assert "threads: 1\n" in capsys.readouterr().out
    assert "threads" in failure(capsys, "info", "--threads", "0")


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--help"], ["train", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    assert "fastrnn 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\tb\nno tab here\n", "line 2: no tab"),
        (b"a\tb\nc\t \n", "line 2: the target is empty"),
        (b"", "no pairs in the file"),
        (b"a\tb\n\xff\tc\n", "line 2: byte 0xff is not UTF-8"),
        (b"a\tb\n", "leaves one part empty"),
    ],
)
def test_wrong_pairs(
    content: bytes, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    assert message in failure(capsys, "train", path, "-o", tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--cell", "mlp"], "(choose from"),
        (["--attention", "loud"], "(choose from"),
        (["--hidden", "0"], "hidden_size must be at least 1, got 0"),
        (["--hidden", "15", "--bidirectional"], "must be even"),
        (["--dropout", "1.5"], "dropout must be in [0, 1)"),
        (["--epochs", "0"], "must be at least 1, got 0"),
        (["--epochs", "many"], "argument --epochs"),
        (["--batch-size", "0"], "batch_size must be at least 1"),
        (["--lr", "-1"], "lr must be"),
        (["--clip", "0"], "max_grad_norm must be positive"),
        (["--valid-fraction", "1.5"], "fraction must be in (0, 1)"),
        (["--seed", "-1"], "argument --seed: must be at least 0, got -1"),
        (["--resume"], "m.checkpoint: No such file"),
        (["--checkpoint", "/no/such/folder/run"], "/no/such/folder"),
        (["--words", "--chars"], "not allowed with"),
        (["--unknown"], "unrecognized arguments"),
    ],
)
def test_wrong_options(
    options: list[str],
    message: str,
    tsv: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "m.safetensors"
    assert message in failure(capsys, "train", tsv, "-o", output, *options)
    assert not output.exists()


def test_a_learning_rate_that_diverges(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.errstate(all="ignore"):
        message = failure(
            capsys, "train", tsv, "-o", tmp_path / "m", *SMALL, "--lr", "1e38", "--cell", "rnn"
        )
    assert "try a lower learning rate" in message


def test_a_model_that_does_not_fit_in_memory(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # More than processors can address, so that this fails at once on every machine.
    message = failure(capsys, "train", tsv, "-o", tmp_path / "m", "--hidden", 10**13)
    assert "Unable to allocate" in message


@pytest.mark.parametrize("error", [MemoryError(), ImportError("no kernels\nmore about it")])
def test_other_failures_are_one_line_too(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("fastrnn.cli.info.choose", fail)
    assert failure(capsys, "info") in ("out of memory", "no kernels")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "{}: Is a directory"),
        ("none/m", "{}/none/m: No such file or directory"),
        ("m.checkpoint", "must be different, got"),
        ("pairs.tsv", "must be different, got"),
    ],
)
def test_a_wrong_output_is_found_before_any_work(
    output: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fastrnn.cli.train.read_pairs", None)
    wanted = message.format(tmp_path)
    assert wanted in failure(capsys, "train", tmp_path / "pairs.tsv", "-o", tmp_path / output)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["dates.safetensors", "attention.png"])
def test_the_demo_finds_a_wrong_folder_before_any_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastrnn.demo.dates", None)
    (tmp_path / name).mkdir()
    message = failure(capsys, "demo", "--out-dir", tmp_path)
    assert message == f"{tmp_path / name}: Is a directory"


def test_wrong_model_files(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing, other = tmp_path / "missing", tmp_path / "other"
    assert failure(capsys, "translate", missing, "a") == f"{missing}: No such file or directory"
    for content in (b"", b"hello", model.read_bytes()[:1000]):
        other.write_bytes(content)
        assert str(other) in failure(capsys, "translate", other, "a")
    save(layers.Linear(2, 3), other)
    assert "holds a Linear, not a Seq2Seq" in failure(capsys, "translate", other, "a")
    save(LanguageModel(7, 3, 4), other)
    assert "holds a LanguageModel" in failure(capsys, "translate", other, "a")
    checkpoint = model.with_suffix(".checkpoint")
    assert "a checkpoint, not a model" in failure(capsys, "translate", checkpoint, "a")
    assert "max_length" in failure(capsys, "translate", model, "a", "--max-length", "0")


def test_no_command_and_a_wrong_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert "required" in failure(capsys)
    assert "invalid choice: 'dance'" in failure(capsys, "dance")


def test_a_folder_that_cannot_be_made(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = failure(capsys, "demo", "--out-dir", model / "new")
    assert message == f"{model / 'new'}: Not a directory"
