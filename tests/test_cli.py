from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.backends import needs_kernels

from fastrnn import _storage, layers
from fastrnn.cli import main, training
from fastrnn.data import Vocabulary, read_pairs
from fastrnn.models import LanguageModel, TextModel, Translator, evaluate, save
from fastrnn.training import SGD, Adam, Trainer

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


def failure(capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 2) -> str:
    """The one line that a failing command prints."""
    try:
        found = main([str(argument) for argument in arguments])
    except SystemExit as exit:  # argparse's way
        found = exit.code  # type: ignore[assignment]
    printed = capsys.readouterr()
    assert found == code
    assert printed.err.startswith("fastrnn: error: ")
    assert printed.err.count("\n") == 1
    return printed.err[len("fastrnn: error: ") : -1]


def standard_input(text: str | bytes) -> io.TextIOWrapper:
    data = text if isinstance(text, bytes) else text.encode()
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "folder"
    sizes = ["--count", "400", "--hidden", "8", "--epochs", "2", "--rounds", "2"]
    assert main(["demo", *sizes, "--out-dir", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "360 dates to learn from, 40 held out" in out
    assert "epoch 2:" in out and "median: " in out
    answers = [line for line in out.splitlines() if "should be" in line]
    assert len(answers) == 12
    assert (folder / "attention.png").read_bytes().startswith(b"\x89PNG")
    assert len(Translator.load(folder / "dates.safetensors")(["8/3/14"])) == 1


@needs_kernels
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


def hide_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("fastrnn.plot"):
            monkeypatch.delitem(sys.modules, name)
        elif name.split(".")[0] == "matplotlib":
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def test_the_demo_without_matplotlib(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_matplotlib(monkeypatch)
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
    monkeypatch.setattr(sys, "stdin", standard_input("".join(f"{text}\n" for text in texts)))
    assert main(["translate", str(model)]) == 0
    assert capsys.readouterr().out == wanted
    monkeypatch.setattr(sys, "stdin", standard_input("\ufeffabc\r\nde\r\n"))  # of Windows
    assert main(["translate", str(model)]) == 0
    out, err = capsys.readouterr()
    assert wanted.startswith(out) and out.count("\n") == 2 and not err
    assert main(["translate", str(model), "abcde", "--max-length", "1"]) == 0
    assert len(capsys.readouterr().out) <= 2


def test_translate_takes_options_anywhere(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = set()
    for arguments in ("{} abc de --beam 2", "{} --beam 2 abc de", "--beam 2 {} abc de",
                      "{} abc --beam 2 de"):  # fmt: skip
        assert main(["translate", *arguments.format(model).split()]) == 0
        printed.add(capsys.readouterr().out)
    assert len(printed) == 1
    message = failure(capsys, "translate", model, "--beam", "2", "abc", "--bean")
    assert message.startswith("unrecognized arguments: ")  # from 3.13 on without "abc"
    assert message.endswith(" --bean")


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
        "--valid-fraction 0.2 --patience 1 --seed 3 --lr 0.01 --hidden-only"
    )
    assert main(["train", str(tsv), "-o", str(path), *SMALL, *options.split()]) == 0
    translator = Translator.load(path)
    assert translator.source.level == "word"
    config = translator.model.config()
    assert (config["cell"], config["num_layers"], config["attention"]) == ("rnn", 2, None)
    assert config["peeky"] and config["reverse_source"] and config["dropout"] == 0.1
    assert config["hidden_only"]


def test_training_with_every_option_of_attention(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, valid = tmp_path / "m.safetensors", tmp_path / "valid.tsv"
    valid.write_text("abc\tcba\nabcdef\tfedcba\n")
    options = (
        f"--valid {valid} --monitor exact_match --source-level char --target-level word "
        "--min-count 2 --max-length 4 --stream --attention multi_head --heads 2 "
        "--context input_feeding --readout tanh --readout-size 8 --bridge tanh --bidirectional "
        "--encoder-layers 4 --decoder-layers 3 --residual --tie-embeddings --label-smoothing 0.1 "
        "--embedding-dropout 0.2 --recurrent-dropout 0.1 "
        "--sampling-rate 0.2 --sampling-decay linear --optimizer adamw --weight-decay 0.1 "
        "--schedule plateau --decay 0.3 --decay-epochs 2 --checkpoint-seconds 9"
    )
    assert main(["train", str(tsv), "-o", str(path), *SMALL, *options.split()]) == 0
    translator = Translator.load(path)
    assert (translator.source.level, translator.target.level) == ("char", "word")
    assert translator.max_source_length == 4
    config = translator.model.config()
    given = {"attention": "multi_head", "num_heads": 2, "context": "input_feeding"}
    given |= {"readout": "tanh", "readout_size": 8, "bridge": "tanh", "residual": True}
    given |= {"num_layers": 4, "decoder_layers": 3, "tie_embeddings": True}
    given |= {"label_smoothing": 0.1, "bidirectional_encoder": True, "recurrent_dropout": 0.1}
    given |= {"embedding_dropout": 0.2}
    assert config == {**config, **given}
    err = capsys.readouterr().err
    assert "of 200 pairs left out, as too long" in err and "1 of 2 pairs left out" in err
    for name in ("tokens/s", "valid_loss", "token_accuracy", "exact_match"):
        assert f", {name} " in err


def test_resumed_training_ends_like_one_that_never_stopped(tsv: Path, tmp_path: Path) -> None:
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    main(["train", str(tsv), "-o", str(once), *SMALL])
    main(["train", str(tsv), "-o", str(twice), *SMALL, "--epochs", "1"])
    assert main(["train", str(tsv), "-o", str(twice), *SMALL, "--resume"]) == 0
    whole, stopped = (Translator.load(path).model.params for path in (once, twice))
    for key, param in whole.items():
        np.testing.assert_array_equal(param, stopped[key], err_msg=key)


def test_streaming_changes_nothing(tsv: Path, tmp_path: Path) -> None:
    memory, stream = tmp_path / "memory", tmp_path / "stream"
    options = [*SMALL, "--max-length", "4"]
    main(["train", str(tsv), "-o", str(memory), *options])
    main(["train", str(tsv), "-o", str(stream), *options, "--epochs", "1"])
    assert main(["train", str(tsv), "-o", str(stream), *options, "--stream", "--resume"]) == 0
    one, other = (Translator.load(path).model.params for path in (memory, stream))
    for key, param in one.items():
        np.testing.assert_array_equal(param, other[key], err_msg=key)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hidden", "12"], "another setting: hidden 16 there, 12 here"),
        (["--lr", "0.02"], "another setting: lr None there, 0.02 here"),
        (["--attention", "general"], "another setting: attention dot there, general here"),
        (["--batch-size", "16"], "another setting: batch_size 32 there, 16 here"),
        (["--seed", "1"], "another setting: seed 0 there, 1 here"),
    ],
)
def test_a_resume_with_other_options(
    options: list[str],
    message: str,
    model: Path,
    tsv: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    run.write_bytes(model.with_suffix(".checkpoint").read_bytes())
    arguments = ["train", tsv, "-o", tmp_path / "m", "--checkpoint", run, "--resume", *SMALL]
    assert f"{run}: a checkpoint with {message}" in failure(capsys, *arguments, *options)
    assert run.read_bytes() == model.with_suffix(".checkpoint").read_bytes()
    assert main([*map(str, arguments), "--epochs", "3", "--patience", "7", "--threads", "1"]) == 0


@pytest.mark.parametrize("stream", [[], ["--stream"]])
def test_a_resume_after_the_file_has_changed(
    stream: list[str], tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, output = tmp_path / "pairs.tsv", tmp_path / "m"
    pairs.write_bytes(tsv.read_bytes())
    arguments = ["train", str(pairs), "-o", str(output), *SMALL, *stream]
    assert main([*arguments, "--epochs", "1"]) == 0
    before = output.read_bytes()
    pairs.write_bytes(tsv.read_bytes().replace(b"a", b"q"))
    capsys.readouterr()
    message = failure(capsys, *arguments, "--resume")
    assert "m.checkpoint: a checkpoint with another setting: digest of the pairs" in message
    assert output.read_bytes() == before


def test_a_file_that_changes_during_the_run(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, output = tmp_path / "pairs.tsv", tmp_path / "m"
    pairs.write_bytes(tsv.read_bytes())
    save_checkpoint = Trainer.save

    def save_and_spoil(trainer: Trainer[Any], path: Path) -> None:
        save_checkpoint(trainer, path)
        pairs.write_bytes(tsv.read_bytes()[10:])

    monkeypatch.setattr(Trainer, "save", save_and_spoil)
    main(["train", str(pairs), "-o", str(output), *SMALL, "--stream", "--valid-fraction", "0"])
    err = capsys.readouterr().err.splitlines()
    message = f"fastrnn: error: {pairs}: the file has changed since it was first read"
    assert [line for line in err if "error" in line] == [message]
    assert not output.exists()
    monkeypatch.undo()
    pairs.write_bytes(tsv.read_bytes())
    arguments = ["train", str(pairs), "-o", str(output), *SMALL, "--valid-fraction", "0"]
    assert main([*arguments, "--resume"]) == 0


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
        (["--words", "--target-level", "char"], "--target-level contradicts --chars and --words"),
        (["--valid", "v.tsv", "--valid-fraction", "0.2"], "not allowed with"),
        (["--valid", "/no/such/file"], "/no/such/file: No such file"),
        (["--max-length", "0"], "argument --max-length: must be at least 1, got 0"),
        (["--weight-decay", "0.1"], "--weight-decay needs --optimizer adamw, got adam"),
        (["--decay", "0.1"], "--decay needs --schedule step or plateau, got constant"),
        (["--decay-epochs", "2", "--schedule", "cosine"], "--decay-epochs needs --schedule step"),
        (["--sampling-decay", "linear"], "linear needs --sampling-rate"),
        (
            ["--sampling-decay", "inverse-sigmoid", "--sampling-rate", "0.5"],
            "inverse-sigmoid takes no --sampling-rate",
        ),
        (["--sampling-rate", "1.5"], "sampling_rate must be in [0, 1]"),
        (["--attention", "none", "--context", "input"], "context 'input' needs attention"),
        (["--attention", "multi_head", "--heads", "5"], "num_heads"),
        (["--heads", "4"], "num_heads needs attention='multi_head'"),
        (["--decoder-layers", "2"], "decoder_layers must be at most num_layers, 1, got 2"),
        (["--checkpoint-seconds", "-1"], "checkpoint_seconds must be at least 0"),
        (["--monitor", "exact_match", "--valid-fraction", "0"], "--monitor needs --valid or"),
        (["--patience", "0"], "patience must be at least 1, got 0"),
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


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
@pytest.mark.parametrize("options", ["--lr 1e38 --cell rnn", "--lr inf"])
@pytest.mark.parametrize("batch", ["32", "200"])  # found within an epoch, or after its only batch
def test_a_learning_rate_that_diverges(
    options: str, batch: str, tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SMALL, *options.split(), "--batch-size", batch]
    message = failure(capsys, "train", tsv, "-o", tmp_path / "m", *arguments, code=1)
    assert message.startswith(("Trainer: the ", "train: valid_loss is "))
    assert "; try a lower " in message
    assert message.endswith("; no epoch was finished, so no model is written")
    assert not list(tmp_path.iterdir())


class Diverging(SGD):
    """Good for ten steps."""

    def update(self, params: Any, grads: Any) -> None:
        super().update(params, grads)
        if self.step > 10:
            for param in params.values():
                param[...] = np.nan


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("command", ["train", "lm train"])
def test_a_run_that_diverges_late_keeps_its_good_weights(
    command: str,
    validated: bool,
    tsv: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(training._OPTIMIZERS, "sgd", Diverging)
    output, once = tmp_path / "m", tmp_path / "once"
    options = ["--optimizer", "sgd", "--checkpoint-seconds", "0", "--hidden", "16"]
    options += ["--batch-size", "32"] if command == "train" else ["--batch-size", "4"]
    options += [] if validated else ["--valid-fraction", "0"]
    arguments = [*command.split(), tsv, "-o"]
    assert main([*map(str, [*arguments, once, *options]), "--epochs", "1"]) == 0
    capsys.readouterr()
    assert main([*map(str, [*arguments, output, *options]), "--epochs", "9"]) == 1
    *_, line = capsys.readouterr().err.splitlines()
    checkpoint = tmp_path / "m.checkpoint"
    kept = "the model has the weights of the best epoch before"
    if not validated:
        kept = f"no model is written, the run so far is in {checkpoint}"
    assert line.startswith("fastrnn: error: Trainer: the ") and line.endswith(f"; {kept}")
    arrays, _ = _storage.read(checkpoint)
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert output.exists() == validated
    if validated:
        kinds: Any = Translator if command == "train" else TextModel
        best, first = (kinds.load(path).model.params for path in (output, once))
        for key, param in first.items():
            np.testing.assert_array_equal(best[key], param)


def test_a_run_that_got_far_worse_warns(tsv: Path, tmp_path: Path) -> None:
    options = ["--optimizer", "sgd", "--lr", "1e6", *SMALL]
    with pytest.warns(UserWarning, match="^Trainer: .* first update; try a lower learning rate$"):
        assert main(["train", str(tsv), "-o", str(tmp_path / "m"), *options]) == 0


def test_a_model_that_does_not_fit_in_memory(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # More than processors can address, so that this fails at once on every machine.
    message = failure(capsys, "train", tsv, "-o", tmp_path / "m", "--hidden", 10**13)
    assert "parameters and gradients must take at most" in message


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


@pytest.mark.parametrize("command", [["train"], ["lm", "train"]])
@pytest.mark.parametrize("there", ["m.safetensors", "m.checkpoint"])
def test_a_file_of_another_run_is_not_replaced(
    command: list[str], there: str, tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, other = tmp_path / "m.safetensors", tmp_path / there
    other.write_bytes(b"precious")
    arguments = [*command, tsv, "-o", output, *SMALL]
    choices = "--resume continues its run, --overwrite replaces it"
    assert failure(capsys, *arguments) == f"{other}: the file exists; {choices}"
    assert failure(capsys, *command, "/no/such", "-o", output).startswith(f"{other}: the file ex")
    assert other.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [other]
    assert "not allowed with" in failure(capsys, *arguments, "--overwrite", "--resume")
    assert main([*map(str, arguments), "--overwrite"]) == 0
    assert main([*map(str, arguments), "--resume"]) == 0  # overwrite is not a setting of the run
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.checkpoint", "m.safetensors"]


def test_a_run_from_python_keeps_others_off_its_checkpoint(
    tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, checkpoint = read_pairs(tsv), tmp_path / "run"
    translator = Translator.from_pairs(pairs, 4, 8, rng=0)
    messages = []

    def validate(model: object) -> dict[str, float]:
        arguments = ["train", "/no/such", "-o", tmp_path / "model", "--checkpoint", checkpoint]
        messages.append(failure(capsys, *arguments))
        return {}

    trainer = Trainer(translator.model, Adam(), checkpoint=checkpoint, progress=False)
    trainer.fit(translator.batches(pairs, batch_size=64), epochs=1, validate=validate)
    assert messages == [f"{checkpoint}: another run is writing this file"]


def test_a_closed_standard_error(tsv: Path, model: Path, tmp_path: Path) -> None:
    missing, output = tmp_path / "missing", tmp_path / "m.safetensors"
    for arguments, code in (
        (["train", tsv, "-o", output, *SMALL], 0),
        (["train", missing, "-o", tmp_path / "none"], 2),
        (["translate", model, "abc"], 0),
        (["translate", missing, "abc"], 2),
        ([], 2),
    ):
        process = subprocess.run(
            [sys.executable, "-m", "fastrnn", *map(str, arguments)],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: os.close(2),
        )
        assert process.returncode == code
        assert "fastrnn: error" not in process.stdout
    Translator.load(output)


def test_a_loop_of_links_is_one_line(
    tsv: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    message = f"{loop}: Too many levels of symbolic links"
    for arguments in (
        ["train", tsv, "-o", loop],
        ["train", tsv, "-o", tmp_path / "m", "--checkpoint", loop],
        ["train", loop, "-o", tmp_path / "m"],
        ["train", tsv, "-o", tmp_path / "m", "--valid", loop],
        ["lm", "train", tsv, "-o", loop],
        ["lm", "train", loop, "-o", tmp_path / "m"],
        ["translate", loop, "a"],
        ["translate", model, "a", "--attention-plot", loop],
        ["evaluate", model, loop],
    ):
        assert failure(capsys, *arguments) == message


def test_a_damaged_file_is_one_line(
    model: Path, tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, run = tmp_path / "m.safetensors", tmp_path / "m.checkpoint"
    for source, path, arguments in (
        (model, other, ["translate", other, "a"]),
        (model.with_suffix(".checkpoint"), run, ["train", tsv, "-o", other, *SMALL, "--resume"]),
    ):
        data = bytearray(source.read_bytes())
        data[-100] ^= 4
        path.write_bytes(data)
        message = "damaged: its contents do not have the digest that it names"
        assert failure(capsys, *arguments) == f"{path}: {message}"
        arrays, metadata = _storage.read(source)
        for name in ("state", "config", "extra"):
            if name in metadata:
                _storage.write(path, arrays, {**metadata, name: "[" * 100_000})
                assert failure(capsys, *arguments).startswith(f"{path}: ")
        _storage.write(path, arrays, {**metadata, "kind": "\x1b[2J\nmore"})
        assert failure(capsys, *arguments).startswith(rf"{path}: a \x1b[2J\nmore, not a ")


def test_a_name_with_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "\x1b]0;title\x07\nmore"
    wanted = rf"{tmp_path}/\x1b]0;title\x07\nmore: No such file or directory"
    assert failure(capsys, "translate", missing, "a") == wanted


def test_a_model_without_a_digest_is_read_with_one_warning(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import save_file

    old = tmp_path / "old"
    arrays, metadata = _storage.read(model)
    save_file(arrays, old, {**metadata, "fastrnn": "1"})
    process = start("translate", old, "abc")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and out.count("\n") == 1
    assert err.startswith(f"fastrnn: warning: {old}: of an earlier fastrnn, without a digest")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["dates.safetensors", "attention.png"])
def test_the_demo_finds_a_wrong_folder_before_any_work(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastrnn.demo.dates", None)
    (tmp_path / name).mkdir()
    message = failure(capsys, "demo", "--out-dir", tmp_path)
    assert message == f"{tmp_path / name}: Is a directory"


@pytest.mark.parametrize("name", ["dates.safetensors", "attention.png"])
def test_the_demo_does_not_replace_files(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / name
    there.write_bytes(b"precious")
    sizes = ["--count", "200", "--hidden", "8", "--epochs", "1", "--rounds", "1"]
    choices = "--overwrite replaces it, --out-dir names another folder"
    message = failure(capsys, "demo", "--out-dir", tmp_path, *sizes)
    assert message == f"{there}: the file exists; {choices}"
    assert there.read_bytes() == b"precious" and list(tmp_path.iterdir()) == [there]
    assert main(["demo", "--out-dir", str(tmp_path), *sizes, "--overwrite"]) == 0
    assert len(Translator.load(tmp_path / "dates.safetensors")(["8/3/14"])) == 1


def test_a_picture_does_not_replace_its_model(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, link = tmp_path / "model.png", tmp_path / "link.png"
    model.write_bytes(trained.read_bytes())
    link.symlink_to(model)
    for picture in (model, link):
        message = failure(capsys, "translate", model, "abc", "--attention-plot", picture)
        assert message == f"translate: --attention-plot must not be the model, got {picture}"
    assert model.read_bytes() == trained.read_bytes()
    picture = tmp_path / "picture.png"  # named by the user, so it is replaced
    picture.write_bytes(b"before")
    assert main(["translate", str(model), "abc", "--attention-plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


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


def test_pairs_that_are_all_too_long(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("abc\tcba\n")
    message = failure(capsys, "train", path, "-o", tmp_path / "m", "--max-length", "2")
    assert message == f"{path}: no pair has at most 2 tokens on each side"


def test_a_vocabulary_that_does_not_match_the_weights(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    translator = Translator.load(model)
    extra = {"source": translator.source.to_dict(), "target": Vocabulary("ab").to_dict()}
    save(translator.model, other, extra=extra)
    for command in (["translate", other, "a"], ["evaluate", other, other]):
        message = failure(capsys, *command)
        assert message.startswith(
            f"{other}: no vocabularies that fit the model: Translator: target"
        )


@pytest.fixture(scope="module")
def trained(tsv: Path) -> Path:
    """A model with attention that knows something."""
    path = tsv.with_name("trained.safetensors")
    options = "--hidden 32 --epochs 6 --lr 0.01 --batch-size 20 --max-length 9 --bidirectional"
    assert main(["train", str(tsv), "-o", str(path), *options.split()]) == 0
    return path


def test_translate_with_a_beam(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts, options = ["abc", "", "edcba"], {"beam_size": 4, "length_penalty": 0.6}
    arguments = ["translate", str(trained), *texts, "--beam", "4", "--length-penalty", "0.6"]
    assert main(arguments) == 0
    answers = Translator.load(trained)(texts, **options)
    assert capsys.readouterr().out == "".join(f"{answer}\n" for answer in answers)
    assert main([*arguments, "--nbest", "3"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    found = Translator.load(trained).n_best(texts, n_best=3, **options)
    assert lines == [
        [str(number), f"{each.score:.4f}", each.text]
        for number, those in enumerate(found, start=1)
        for each in those
    ]
    assert [number for number, *_ in lines] == ["1", "1", "1", "2", "3", "3", "3"]


LONG, BROKEN = b"abcdeabcde", b"a\xff"
PROBLEMS = {
    66: "Translator: line 66 must have at most 9 tokens, got 10: 'abcdeabcde'",
    70: "translate: line 70: byte 0xff is not utf-8 text",
    140: "Translator: line 140 must have at most 9 tokens, got 10: 'abcdeabcde'",
}


def test_lines_that_cannot_be_translated_are_left_out(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [b"abc"] * 150
    lines[65], lines[69], lines[139] = LONG, BROKEN, LONG
    (answer,) = Translator.load(trained)(["abc"])
    summary = "translate: 3 of 150 lines were not translated"
    errors = [f"fastrnn: error: {each}" for each in (*PROBLEMS.values(), summary)]
    monkeypatch.setattr(sys, "stdin", standard_input(b"\n".join(lines)))
    assert main(["translate", str(trained)]) == 1
    out, err = capsys.readouterr()
    assert out == "".join("\n" if i in PROBLEMS else f"{answer}\n" for i in range(1, 151))
    assert err.splitlines() == errors
    monkeypatch.setattr(sys, "stdin", standard_input(b"\n".join(lines)))
    assert main(["translate", str(trained), "--nbest", "2", "--beam", "2"]) == 1
    out, err = capsys.readouterr()
    numbers = [int(line.split("\t")[0]) for line in out.splitlines()]
    assert numbers == [i for i in range(1, 151) if i not in PROBLEMS for _ in range(2)]
    assert err.splitlines() == errors


def test_arguments_that_are_too_long_are_left_out(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["translate", str(trained), "abc", LONG.decode(), "de"]) == 1
    out, err = capsys.readouterr()
    one, other = Translator.load(trained)(["abc", "de"])
    assert out == f"{one}\n\n{other}\n"
    assert err.splitlines() == [
        f"fastrnn: error: {PROBLEMS[66].replace('line 66', 'text 2')}",
        "fastrnn: error: translate: 1 of 3 texts were not translated",
    ]


def test_sources_that_are_too_long_to_measure(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, short = tmp_path / "pairs.tsv", tmp_path / "short.tsv"
    short.write_text("abc\tcba\nde\ted\n")
    pairs.write_text(f"abc\tcba\n{LONG.decode()}\ta\nde\ted\n")
    assert main(["evaluate", str(trained), str(short)]) == 0
    wanted = capsys.readouterr().out
    assert main(["evaluate", str(trained), str(pairs)]) == 1
    out, err = capsys.readouterr()
    assert out == wanted
    message = f"{pairs}: 1 of 3 pairs left out, as their sources are too long"
    assert err == f"fastrnn: error: {message}\n"
    pairs.write_text(f"{LONG.decode()}\ta\n")
    message = f"{pairs}: no pair has a source of at most 9 tokens"
    assert failure(capsys, "evaluate", trained, pairs) == message


def in_a_shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in which `fastrnn` is this one, and buffers what it prints, as by default."""
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    script = f'fastrnn() {{ "{sys.executable}" -m fastrnn "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("command", "code", "out", "err"),
    [
        (
            "fastrnn translate {model} <&-",
            2,
            "",
            "fastrnn: error: translate: there is no TEXT, and standard input is closed\n",
        ),
        ("fastrnn translate {model} '' <&-", 0, "\n", ""),
        ("fastrnn translate {model} '' >&-", 2, "", "fastrnn: error: standard output is closed\n"),
        ("fastrnn info --threads 0 2>&-", 2, "", ""),
        ("fastrnn translate {model} '' 2>&-", 0, "\n", ""),
        ("fastrnn translate {model} x '' 2>&- | tail -n 1", 0, "\n", ""),
        ("fastrnn info --no-such-option 2>&-", 2, "", ""),
        ("fastrnn --version >&-", 0, "", "fastrnn 0"),
        ("fastrnn lm sample nothing 2>/dev/full", 2, "", ""),
        ("PYTHONUNBUFFERED=1 fastrnn lm sample nothing 2>/dev/full", 2, "", ""),
        ("fastrnn info --no-such-option 2>/dev/full", 2, "", ""),
        ("fastrnn info >/dev/full 2>/dev/full", 2, "", ""),
        *(
            (
                f"fastrnn {option} >/dev/full",
                2,
                "",
                "fastrnn: error: standard output: No space left on device\n",
            )
            for option in ("--version", "--help", "train --help")
        ),
        ("fastrnn translate {model} x '' 2>/dev/full | tail -n 1", 0, "\n", ""),
        (
            "PYTHONUNBUFFERED=1 fastrnn info > /dev/full",
            2,
            "",
            "fastrnn: error: standard input or output: No space left on device\n",
        ),
        (
            "fastrnn info > /dev/full",
            2,
            "",
            "fastrnn: error: standard output: No space left on device\n",
        ),
    ],
)
def test_standard_streams_that_are_closed_or_full(
    command: str, code: int, out: str, err: str, model: Path
) -> None:
    process = in_a_shell(command.format(model=model))
    assert process.returncode == code, process.stderr
    assert process.stdout == out and process.stderr.startswith(err)
    assert process.stderr.count("\n") == bool(err)


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full"])
def test_training_with_a_closed_or_full_stderr(stream: str, tsv: Path, tmp_path: Path) -> None:
    output = tmp_path / "m"
    options = " ".join(SMALL)
    process = in_a_shell(f"fastrnn train {tsv} -o {output} {options} {stream}")
    assert process.returncode == 0
    assert process.stdout.startswith(f"model written to {output}; ")
    assert Translator.load(output)(["a"])


def test_nbest_numbers_go_on_from_batch_to_batch(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", standard_input("a\n" * 130))
    assert main(["translate", str(trained), "--beam", "2", "--nbest", "1"]) == 0
    numbers = [int(line.split("\t")[0]) for line in capsys.readouterr().out.splitlines()]
    assert numbers == list(range(1, 131))


@pytest.mark.parametrize("beam", ["1", "3"])
def test_attention_plot(
    beam: str, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "attention.png"
    options = ["--beam", beam, "--attention-plot", str(picture)]
    assert main(["translate", str(trained), "abc", *options]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    (answer,) = Translator.load(trained)(["abc"], beam_size=int(beam))
    assert capsys.readouterr().out == f"{answer}\n"


def test_letters_without_a_font_are_named_in_one_line(
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    translator = Translator.load(trained)
    tokens = ["\U0010fffd", *translator.source.tokens[5:]]  # which no font has
    path = tmp_path / "model"
    source = Vocabulary(tokens)
    Translator(translator.model, source, translator.target).save(path)
    picture = str(tmp_path / "x.png")
    assert main(["translate", str(path), "\U0010fffda", "--attention-plot", picture]) == 0
    warning = "fastrnn: warning: no installed font has: '\\U0010fffd'\n"
    assert capsys.readouterr().err.endswith(warning)
    assert not list(recwarn)


def test_unknown_characters_are_named_once(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["translate", str(trained), "xaéy", "yb", *["z"] * 100]) == 0
    warning = "fastrnn: warning: the model has not seen in sources: 'x' 'é' 'y' 'z'\n"
    assert capsys.readouterr().err == warning
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("ax\ta\nb\tABCDEFGHIJKL\n")
    assert main(["evaluate", str(trained), str(pairs)]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("in sources: 'x'")
    assert lines[1].endswith("'I' 'J' and 2 more")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam", "0"], "argument --beam: must be at least 1, got 0"),
        (["--beam", "2", "--nbest", "3"], "--nbest must be at most --beam (2), got 3"),
        (["--nbest", "0"], "argument --nbest: must be at least 1, got 0"),
        (["--length-penalty", "1"], "--length-penalty needs a --beam of at least 2"),
        (["--coverage-penalty", "1"], "--coverage-penalty needs a --beam of at least 2"),
        (["--beam", "2", "--length-penalty", "-1"], "length_penalty must be"),
        (["more", "--attention-plot", "x.png"], "--attention-plot takes one TEXT and no --nbest"),
        (["--attention-plot", "/no/x.png"], "/no/x.png: No such file"),
        (["--attention-plot", "x.nothing"], "Format 'nothing' is not supported"),
    ],
)
def test_wrong_searches(
    options: list[str],
    message: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in failure(capsys, "translate", trained, "abc", *options)
    assert not list(tmp_path.iterdir())


def test_a_plot_without_attention_or_matplotlib(
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = tmp_path / "plain"
    Translator.from_pairs([("a", "b")], 4, 4, rng=0).save(plain)
    arguments = ["a", "--attention-plot", tmp_path / "x.png"]
    assert "attention" in failure(capsys, "translate", plain, *arguments)
    hide_matplotlib(monkeypatch)
    assert "pip install 'fastrnn[plot]'" in failure(capsys, "translate", model, *arguments)


def test_evaluate(
    trained: Path, tsv: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text(tsv.read_text() + "abc\tabc\nabc\tcba\n")
    assert main(["evaluate", str(trained), str(pairs), "--beam", "3", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    result = evaluate(Translator.load(trained), read_pairs(pairs), beam_size=3)
    assert figures == asdict(result)
    assert 0 < result.exact_match < 1 and 0 < result.error_rate < 1
    assert main(["evaluate", str(trained), str(pairs), "--beam", "3"]) == 0
    out = capsys.readouterr().out
    for line in (
        f"exact match         {result.exact_match:.2%}",
        f"edit-distance rate  {result.error_rate:.2%}",
        f"token accuracy      {result.token_accuracy:.2%}",
        f"perplexity          {result.perplexity:.4g}",
    ):
        assert f"{line}\n" in out
    assert "line 1: no tab" in failure(capsys, "evaluate", trained, __file__)


@pytest.fixture(scope="module", params=["--chars", "--words"])
def language_model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("lm")
    (folder / "text.txt").write_text("the cat sat\non the mat\n" * 40)
    options = (
        "--hidden 24 --embedding 8 --batch-size 4 --steps 16 --epochs 6 --lr 0.02 --layers 3 "
        "--dropout 0.1 --embedding-dropout 0.2 --recurrent-dropout 0.1 --residual "
        "--label-smoothing 0.05"
    )
    path = folder / "lm.safetensors"
    arguments = ["lm", "train", str(folder / "text.txt"), "-o", str(path), request.param]
    assert main([*arguments, *options.split()]) == 0
    before = TextModel.load(path).model.params
    config = TextModel.load(path).model.config()
    given = {"num_layers": 3, "residual": True, "recurrent_dropout": 0.1, "label_smoothing": 0.05}
    given |= {"dropout": 0.1, "embedding_dropout": 0.2}
    assert config == {**config, **given}
    assert main([*arguments, *options.split(), "--resume"]) == 0
    for key, param in TextModel.load(path).model.params.items():
        np.testing.assert_array_equal(param, before[key])
    return path


def test_language_models(language_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, text = TextModel.load(language_model), language_model.with_name("text.txt")
    assert main(["lm", "evaluate", str(language_model), str(text), "--json"]) == 0
    figures, scores = json.loads(capsys.readouterr().out), model.evaluate(text.read_text())
    assert figures["perplexity"] == scores.perplexity < 3
    assert figures["bits_per_token"] == pytest.approx(np.log2(scores.perplexity))
    assert main(["lm", "evaluate", str(language_model), str(text)]) == 0
    assert f"tokens          {scores.tokens}\n" in capsys.readouterr().out

    options = ["--length", "30", "--temperature", "0.8", "--top-k", "5", "--top-p", "0.9"]
    options += ["--seed", "3"]
    assert main(["lm", "sample", str(language_model), *options]) == 0
    sampling = {"temperature": 0.8, "top_k": 5, "top_p": 0.9, "seed": 3}
    assert capsys.readouterr().out == model.sample(30, **sampling) + "\n"
    assert main(["lm", "sample", str(language_model), *options, "--start", "the Xat"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("the Xat") and "'X" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "text", "--valid-fraction", "1.5"],
            "--valid-fraction must be in [0, 1), got 1.5",
        ),
        (["train", "text", "--valid-fraction", "0.999"], "too few lines for a --valid-fraction"),
        (["train", "text", "--steps", "0"], "argument --steps: must be at least 1, got 0"),
        (["train", "text", "--batch-size", "500000"], "streams need at least"),
        (["train", "text", "--tie-weights"], "tie_weights needs embedding_size == hidden_size"),
        (["train", "text", "--valid", "text"], "must be different, got"),
        (["train", "nothing"], "nothing: No such file"),
        (["sample", "model", "--temperature", "-1"], "temperature must be"),
        (["sample", "model", "--top-k", "0"], "top_k must be"),
        (["sample", "model", "--top-p", "2"], "top_p must be"),
        (["sample", "model", "--start", ""], "start must have a token, got ''"),
        (["evaluate", "text", "text"], "not a safetensors file"),
        ([], "required"),
    ],
)
def test_wrong_use_of_language_models(
    arguments: list[str],
    message: str,
    language_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    files = {"text": language_model.with_name("text.txt"), "model": language_model}
    command = ["lm", *(files.get(argument, argument) for argument in arguments)]
    output = ["-o", tmp_path / "m"] if "train" in arguments else []
    assert message in failure(capsys, *command, *output)
    assert not list(tmp_path.iterdir())


def test_a_text_too_short_to_validate_on_is_noticed_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("abc abc\n" * 9 + "\n")
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("began to train"))
    arguments = ["lm", "train", text, "-o", tmp_path / "m", "--batch-size", "2", "--hidden", "4"]
    message = failure(capsys, *arguments)
    assert message == "TextModel: text must have at least 2 tokens, got '\\n'"


def test_ctrl_c_while_sampling_keeps_what_was_written(language_model: Path) -> None:
    process = start("lm", "sample", language_model, "--length", 10**12, "--seed", 3)
    assert process.stdout is not None
    begun = process.stdout.read(5000)
    process.send_signal(signal.SIGINT)
    # Not communicate: it does not see what `read` has taken from the pipe beyond what it returned.
    written = begun + process.stdout.read()
    err = process.communicate(timeout=60)[1]
    assert (process.returncode, err) == (130, "fastrnn: interrupted\n")
    wanted = TextModel.load(language_model).stream(len(written), seed=3)
    assert "".join(wanted).startswith(written)
