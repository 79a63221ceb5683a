"""The report: sizes of the grid, records in files, targets, and tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

import limits
import memory
import pages
import plots
import simd
from cases import Recurrent
from grid import GRID, INFERENCE, SELECTION, TRAINING
from processors import AMD, INTEL, Processor
from records import FROZEN, JAX, ONNX, OPENVINO, PLAIN, PYTORCH, Record, Results
from report import DOCS
from tables import FEW, document
from targets import verdicts

LAYER = Recurrent("lstm", N=32, T=50, D=256, H=256)
AHEAD = Record(
    "inference",
    str(LAYER),
    1,
    {FROZEN: 0.8, PLAIN: 0.95, PYTORCH: 1.25, ONNX: 1.0, OPENVINO: 1.1},
    {"multiply-adds": 2 * LAYER.flops},
)
BEHIND = replace(AHEAD, question="training", figures={PLAIN: 3.0, PYTORCH: 2.0, JAX: 2.5})
SPEEDUPS = {"process 1": 1.7, "process 2": 1.9, "process 3": 1.8}
SCALED = Record("scaling", f"inference: {LAYER}", 2, SPEEDUPS)


def test_the_grid_has_every_size():
    layers = [*INFERENCE, *TRAINING]
    assert {case.N for case in layers} == {1, 4, 8, 16, 20, 32, 48, 64, 128}
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
    ahead, behind = (replace(record, limits={"reads": 1e9}) for record in (AHEAD, BEHIND))
    Results({"processor": "any"}, [ahead, behind]).save(first)
    newer = replace(ahead, figures={PLAIN: 0.5})
    Results({}, [newer]).save(second)
    assert Results.load(first).records == [ahead, behind]
    assert Results.load(first, second).records == [newer, behind]


def test_a_file_keeps_five_digits_on_a_line_for_each_record(tmp_path):
    path = tmp_path / "page.json"
    Results({}, [replace(AHEAD, figures={PLAIN: 1.23456789e-5}), BEHIND], "page").save(path)
    assert sum(line.startswith('{"question"') for line in path.read_text().splitlines()) == 2
    found = Results.load(path)
    assert (found.page, found.records[0].figures[PLAIN]) == ("page", 1.2346e-5)


def test_a_case_is_read_from_its_name():
    assert AHEAD.layer == LAYER
    assert SCALED.layer is None


def test_ratios_and_shares():
    assert AHEAD.ratio == pytest.approx(0.8)  # frozen time / time of ONNX Runtime
    assert AHEAD.peak_share == pytest.approx(1 / 0.8 / 2)
    assert BEHIND.ratio == pytest.approx(1.5)
    assert BEHIND.peak_share == pytest.approx(3 / 3.0 / 2)  # three products' worth of FLOPs
    assert replace(AHEAD, figures={PLAIN: 1.0}).ratio is None


def test_shares_of_the_bandwidth():
    layer = Recurrent("lstm", N=1, T=10, D=16, H=32)
    rates = {"multiply-adds": 2.0 * 10 * 16 * 128, "reads": 10 * 4 * 32 * 128 / 3}
    record = Record("inference", str(layer), 1, {PLAIN: 8.0}, rates)
    assert record.read_share == pytest.approx(3 / 8)  # Wh takes 3 seconds
    assert record.bound_share == pytest.approx(4 / 8)  # and the inputs' product 1
    training = replace(record, question="training", figures={PLAIN: 20.0, PYTORCH: 40.0})
    assert training.read_share is None
    # Reading Wh twice takes 6; of the 9 that three forwards' products take, 4 go with that.
    assert training.bound_share == pytest.approx((2 * 3 + 3 * 3 - 2 * 2) / 20)
    assert training.best_ratio == pytest.approx(training.bound_share / 2)


def test_targets_know_their_direction():
    found = {verdict.what: verdict for verdict in verdicts(Results({}, [AHEAD, BEHIND]))}
    assert found["inference, every cell"].met
    assert found["inference, every cell"].best == pytest.approx(0.8 * AHEAD.peak_share)
    assert not found["training, every cell"].met
    [share] = [verdict for what, verdict in found.items() if "inference, share of the FMA" in what]
    assert (share.measured, share.met) == (pytest.approx(0.625), False)


@pytest.mark.parametrize(
    ("layer", "sizes"),
    [
        (Recurrent("gru_before", 16, 5, 80, 100), ["N >= 16"]),
        (Recurrent("lstm", 8, 5, 80, 650), ["N = 4 to 10"]),
        (Recurrent("lstm", 64, 5, 80, 64), []),
        (Recurrent("rnn", 64, 5, 80, 256), []),
    ],
)
def test_a_share_has_the_target_of_its_sizes(layer, sizes):
    record = replace(AHEAD, case=str(layer), figures={FROZEN: 1.0})
    found = [v.what for v in verdicts(Results({}, [record])) if "FMA peak" in v.what]
    assert [size for what in found for size in sizes if size in what] == sizes
    assert len(found) == len(sizes)


def test_the_speedup_is_the_median_of_the_processes():
    assert SCALED.speedup == 1.8
    [verdict] = [v for v in verdicts(Results({}, [AHEAD, SCALED])) if "1 thread / on 2" in v.what]
    assert (verdict.measured, verdict.met) == (1.8, True)
    assert "| 2 | 1.80 | 1.70 to 1.90 |" in document(Results({}, [AHEAD, SCALED]))


def test_the_document_tells_of_losses():
    text = document(Results({"processor": "any"}, [AHEAD, BEHIND]))
    times = "800 ms | 950 ms | 1.25 s | 1 s | 1.1 s"
    assert f"| `lstm N32 T50 D256 H256` | {times} | 0.80 | 0.95 | 0.50 | 62% |" in text
    assert "**1.50, behind**" in text
    assert "Ahead of the best peer in 0 of 1 cases" in text


def test_few_cases_are_not_compared_with_the_targets():
    assert "## Targets" in document(Results({}, [AHEAD]))
    assert "## Targets" not in document(Results(dict(FEW), [AHEAD]))


def test_plots_are_written_for_what_there_is(tmp_path):
    pytest.importorskip("matplotlib")
    results = Results({}, [AHEAD, replace(AHEAD, threads=2, figures={FROZEN: 0.4}), SCALED])
    plots.draw(results, tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert drawn == {"ratio-1.svg", "peak-1.svg", "peak-2.svg", "scaling-2.svg"}
    assert str(LAYER) in (tmp_path / "scaling-2.svg").read_text()


def test_a_page_is_published_beside_the_others(tmp_path):
    older = pages.folder(tmp_path) / "older.md"
    older.parent.mkdir()
    older.write_text("a page without data")
    for page, factor in (("one", 1.0), ("two", 2.0)):
        slower = replace(AHEAD, figures=AHEAD.figures | {FROZEN: 0.8 * factor})
        path = pages.publish(Results({"processor": "any"}, [slower], page), tmp_path)
        assert path.read_text().startswith(f"# Performance: {page}")
    text = (tmp_path / "performance.md").read_text()
    assert "| [one](performance/one.md) | 1 | 0.80 | 63%, 63% | 0 of 1 | 0.80 `lstm" in text
    assert "| [two](performance/two.md) | 1 | 1.60 | 31%, 31% | 1 of 1 | **1.60, behind**" in text
    assert "- [older](performance/older.md)" in text


def test_the_published_documents_are_those_of_their_data():
    for results in pages.published(DOCS):
        path = pages.folder(DOCS) / f"{results.page}.md"
        assert path.read_text("utf-8") == document(results)
        assert path.with_suffix(".json").stat().st_size < 200_000
    assert (DOCS / "performance.md").read_text("utf-8") == pages.comparison(DOCS)


@pytest.mark.parametrize(
    ("vendor", "family", "model", "stepping", "page"),
    [
        (AMD, 25, 17, 1, "zen4-2-cores-avx2"),
        (AMD, 25, 33, 0, "zen3-2-cores-avx2"),
        (AMD, 23, 49, 0, "zen2-2-cores-avx2"),
        (INTEL, 6, 85, 4, "skylake-sp-2-cores-avx2"),
        (INTEL, 6, 85, 7, "cascade-lake-2-cores-avx2"),
        (INTEL, 6, 143, 8, "sapphire-rapids-2-cores-avx2"),
        (INTEL, 6, 255, 0, "genuineintel-6-255-2-cores-avx2"),
    ],
)
def test_a_page_is_named_by_the_processor(vendor, family, model, stepping, page):
    told = {"Vendor ID": vendor, "CPU family": family, "Model": model, "Stepping": stepping}
    assert Processor(told | {"Core(s) per socket": 1, "Socket(s)": 2}).page("avx2") == page


def test_a_processor_without_numbers_has_its_name():
    assert Processor({"Model name": "Neoverse-N1", "Model": "1"}).page("generic") == (
        "neoverse-n1-1-core-generic"
    )


def test_peers_that_nothing_holds_to_a_set_are_left_out(monkeypatch):
    assert all(map(simd.holds, ("pytorch", "jax_scan"))) or simd.narrowed()
    monkeypatch.setattr(simd, "narrowed", lambda: "avx2")
    for name in simd.environment("avx2"):
        monkeypatch.delenv(name, raising=False)
    assert simd.holds("fastrnn_compiled") and not simd.holds("pytorch")
    for name, value in simd.environment("avx2").items():
        monkeypatch.setenv(name, value)
    assert simd.holds("pytorch") and simd.holds("open_vino")
    assert not simd.holds("onnx_runtime") and not simd.holds("jax_scan")
    assert "-mavx2" in simd.compiler_flags()


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
