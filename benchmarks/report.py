"""Times all contenders, round by round, and writes the page of this processor.

In each round every contender has one sample of at least --sample milliseconds, so that other load
on the machine affects all of them. The report has the medians over the rounds. Before the timing,
results are compared with the reference's. The measurements are written to --results after each
case, and at the end beside the page, docs/performance/<page>.json; docs/performance.md compares all
pages there. Measurements can be rendered again, also from several files, and all pages from theirs.

    python benchmarks/report.py --threads 1 2
    python benchmarks/report.py --simd avx2
    python benchmarks/report.py --few --threads 1 4 16 --out /tmp/docs
    python benchmarks/report.py --questions training --results training.json --out /tmp/docs
    python benchmarks/report.py --render results.json training.json
    python benchmarks/report.py --render
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tqdm import tqdm

import limits
import machine
import memory
import pages
import processors
import simd
from contenders import installed, missing
from contenders.fastrnn_reference import Reference
from grid import GRID, SELECTION
from install import PACKAGES, install_size, run_import
from measure import Effort, against_numpy, timed
from records import Record, Results
from rounds import interleaved
from scaling import scaling
from tables import FEW
from variants import VARIANTS, timed_variant

ONCE = ("scaling", "variants", "numpy", "memory", "imports")
DOCS = Path(__file__).parent.parent / "docs"
Job = Callable[[], Iterator[Record]]


def main() -> None:
    options = _options()
    if options.render is None:
        simd.restart(options.simd)
        made = [_measured(options)]
    elif options.render:
        made = [Results.load(*options.render)]
    else:
        made = list(pages.published(options.out))
    for results in made:
        print(f"written: {pages.publish(results, options.out)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads")
    parser.add_argument("--rounds", type=int, default=9, help="number of samples of each contender")
    parser.add_argument("--sample", type=float, default=20, help="minimum milliseconds of a sample")
    asked = [*GRID, *ONCE]
    parser.add_argument(
        "--questions", nargs="+", choices=asked, default=asked, help="questions to measure"
    )
    parser.add_argument(
        "--few", action="store_true", help="measure only the cases of each grid that CI runs"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(".benchmarks/results.json"),
        help="file for the measurements",
    )
    parser.add_argument(
        "--simd",
        choices=simd.SUPPORTED,
        default=simd.SUPPORTED[0],
        help="instruction set to which all contenders are held",
    )
    parser.add_argument(
        "--render",
        type=Path,
        nargs="*",
        metavar="RESULTS",
        help="only render these measurements, or those of all pages",
    )
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of performance/")
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> Results:
    """Run the jobs one after another, until all are done or the user interrupts."""
    for line in (*missing(), *limits.missing()):
        print(line)
    page = processors.here().page(options.simd) + "-few" * options.few
    results = Results(machine.facts() | (FEW if options.few else {}), page=page)
    jobs = [job for question in options.questions for job in _jobs(question, options)]
    try:
        for job in (progress := tqdm(jobs, unit="case")):
            for record in job():
                results.add([record])
                results.save(options.results)
                progress.set_postfix_str(f"{record.question} {record.case}")
    except KeyboardInterrupt:
        print("interrupted: the measurements so far are kept")
    return results


def _jobs(question: str, options: argparse.Namespace) -> Iterator[Job]:
    """The jobs of a question."""
    effort = Effort(options.rounds, options.sample / 1000)
    if question == "beam_search":  # a search takes 20 s in PyTorch
        effort = effort._replace(rounds=min(3, options.rounds))
    if question in GRID:
        for threads in options.threads:
            for case in (SELECTION if options.few else GRID)[question]:
                yield partial(_one, timed, question, case, threads, effort)
    elif question == "variants":
        for name in VARIANTS:
            for threads in options.threads:
                yield partial(_one, timed_variant, name, threads, effort)
    elif question == "scaling":
        for threads in sorted(set(options.threads) - {1}):
            yield partial(scaling, threads, effort.sample, few=options.few)
    elif question == "numpy" and Reference in installed():
        for name, cases in SELECTION.items():
            for case in cases:
                yield partial(_one, against_numpy, name, case, effort)
    elif question == "memory" and memory.available():
        for case in memory.TRAINING:
            yield partial(_one, memory.training_record, case)
        for case in memory.ATTENTION:
            yield partial(_one, memory.attention_record, case)
        yield partial(_one, memory.growth_record)
    elif question == "imports":
        yield partial(_imports, options.rounds)


def _one(measured: Callable[..., Record], *arguments: object) -> Iterator[Record]:
    yield measured(*arguments)


def _imports(rounds: int) -> Iterator[Record]:
    """The size on disk with requirements, and the time to start Python and import."""
    runs = {name: partial(run_import, name) for name in PACKAGES if install_size(name)}
    seconds = interleaved(runs, rounds, 0.0, 1)
    for name in runs:
        yield Record("imports", name, 0, {"bytes": install_size(name), "import": seconds[name]})


if __name__ == "__main__":
    main()
