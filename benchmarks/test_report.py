"""The report: sizes of the grid, records in files, targets, and tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

import limits
import memory
import plots
from cases import Recurrent
from grid import GRID, INFERENCE, SELECTION, TRAINING
from records import FROZEN, ONE_THREAD, ONNX, PLAIN, PYTORCH, Record, Results
from report import DOCS
from tables import FEW, LIMITS, TITLE, document
from targets import verdicts

LAYER = Recurrent("lstm", N=32, T=50, D=256, H=256)
AHEAD = Record(
    "inference",
    str(LAYER),
    1,
    {FROZEN: 0.8, PLAIN: 0.95, PYTORCH: 1.25, ONNX: 1.0},
    {"multiply-adds": 2 * LAYER.flops},
    LAYER,
)
BEHIND = replace(AHEAD, question="training", figures={PLAIN: 3.0, PYTORCH: 2.0})


def test_the_grid_has_every_size():
    layers = [*INFERENCE, *TRAINING]
    assert {case.N for case in layers} == {1, 4, 8, 16, 20, 32, 64, 128}
    assert {case.H for case in layers} == {32, 64, 100, 128, 256, 300, 512, 650, 1024}
    for values in ([case.D for case in layers], [case.T for case in layers]):
        assert min(values) <= 16
    assert max(case.D for case in layers) == 1024
    assert {case.T for case in layers} >= {1, 200}


def test_a_call_is_short():
    for question, factor in (("inference", 1), ("training", 3)):
        assert max(case.flops * factor for case in GRID[question]) < 20e9


@pytest.mark.parametrize("question", GRID)
def test_the_grid_holds_the_selection(question):
    assert set(SELECTION[question]) <= set(GRID[question])


def test_records_survive_a_file_and_later_files_win(tmp_path):
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    Results({"processor": "any"}, [AHEAD, BEHIND]).save(first)
    newer = replace(AHEAD, figures={PLAIN: 0.5})
    Results({}, [newer]).save(second)
    assert Results.load(first).records == [AHEAD, BEHIND]
    assert Results.load(first, second).records == [newer, BEHIND]


def test_ratios_and_shares():
    assert AHEAD.ratio == pytest.approx(0.8)  # frozen time / time of ONNX Runtime
    assert AHEAD.peak_share == pytest.approx(1 / 0.8 / 2)
    assert BEHIND.ratio == pytest.approx(1.5)
    assert BEHIND.peak_share == pytest.approx(3 / 3.0 / 2)  # three products' worth of FLOPs
    assert replace(AHEAD, figures={PLAIN: 1.0}).ratio is None


def test_shares_of_the_bandwidth():
    layer = Recurrent("lstm", N=1, T=10, D=16, H=32)
    rates = {"multiply-adds": 2.0 * 10 * 16 * 128, "reads": 10 * 4 * 32 * 128 / 3}
    record = Record("inference", str(layer), 1, {PLAIN: 8.0}, rates, layer)
    assert record.read_share == pytest.approx(3 / 8)  # Wh takes 3 seconds
    assert record.bound_share == pytest.approx(4 / 8)  # and the inputs' product 1
    training = replace(record, question="training", figures={PLAIN: 20.0, PYTORCH: 40.0})
    assert training.read_share is None
    # Reading Wh twice takes 6; of the 9 that three forwards' products take, 4 go with that.
    assert training.bound_share == pytest.approx((2 * 3 + 3 * 3 - 2 * 2) / 20)
    assert training.best_ratio == pytest.approx(training.bound_share / 2)


def test_targets_know_their_direction():
    found = {verdict.what: verdict for verdict in verdicts(Results({}, [AHEAD, BEHIND]))}
    assert found["LSTM inference N32 T50 D=H=256"].met
    assert found["LSTM inference N32 T50 D=H=256"].best == pytest.approx(0.8 * AHEAD.peak_share)
    assert not found["training, every cell"].met
    share = found["LSTM inference, share of the FMA peak, best cell"]
    assert (share.measured, share.met) == (pytest.approx(0.625), False)


def test_the_speedup_of_two_threads_has_a_target():
    twice = replace(AHEAD, threads=2, figures={FROZEN: 0.4, ONE_THREAD: 0.8})
    [verdict] = [v for v in verdicts(Results({}, [AHEAD, twice])) if "1 thread / on 2" in v.what]
    assert (verdict.measured, verdict.met) == (pytest.approx(2.0), True)


def test_the_document_tells_of_losses():
    text = document(Results({"processor": "any"}, [AHEAD, BEHIND]), [])
    assert (
        "| `lstm N32 T50 D256 H256` | 800 ms | 950 ms | 1.25 s | 1 s | 0.80 | 0.95 | 0.50 | 62% |"
        in text
    )
    assert "**1.50, behind**" in text
    assert "Ahead of the best peer in 0 of 1 cases" in text


@pytest.mark.parametrize("name", ["performance.md", "performance-16-cores.md"])
def test_the_published_documents_have_these_definitions(name):
    text = (DOCS / name).read_text("utf-8")
    assert TITLE in text and LIMITS in text


def test_few_cases_are_not_compared_with_the_targets():
    assert "## Targets" in document(Results({}, [AHEAD]), [])
    assert "## Targets" not in document(Results(dict(FEW), [AHEAD]), [])


def test_plots_are_written_for_what_there_is(tmp_path):
    pytest.importorskip("matplotlib")
    twice = replace(AHEAD, threads=2, figures={FROZEN: 0.4, ONE_THREAD: 0.8})  # no peer
    drawn = {path.name: path for _, path in plots.draw(Results({}, [AHEAD, twice]), tmp_path)}
    assert set(drawn) == {"ratio-1.svg", "peak-1.svg", "peak-2.svg", "scaling-2.svg"}
    assert str(LAYER) in drawn["scaling-2.svg"].read_text()


def test_the_document_sets_instruction_sets_side_by_side():
    slow = replace(AHEAD, simd="avx2", figures={FROZEN: 1.6, PYTORCH: 2.0})
    text = document(Results({"instruction set": "avx512"}, [AHEAD, slow]), [])
    assert "| inference | `lstm N32 T50 D256 H256` | 2.00 |" in text
    assert "| `lstm N32 T50 D256 H256` | 1.6 s | 2 s | 0.80 | 0.25 | 31% |" in text


@pytest.mark.skipif(bool(limits.missing()), reason="no C compiler")
@pytest.mark.parametrize("threads", [1, 2])
def test_limits_count_what_they_run(threads):
    for limit in (limits.multiply_adds(threads), limits.reads(100_000, threads)):
        limit.run()
        assert limit.amount >= threads * 1e8


@pytest.mark.skipif(not memory.available(), reason="needs Linux's /proc")
def test_a_training_keeps_at_least_its_stash():
    case = Recurrent("lstm", N=16, T=50, D=64, H=64)
    figures = memory.training_record(case).figures
    assert figures[PLAIN] > figures["stash"]
