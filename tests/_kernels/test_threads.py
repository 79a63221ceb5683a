"""The number of threads, calls from several Python threads, forks."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support.numeric import random_drop, random_lengths
from support.problems import VARIANTS, recurrent_problem
from threadpoolctl import threadpool_info, threadpool_limits

from fastrnn import _kernels
from fastrnn._kernels.runtime import openmp_env, thread_groups, threads

several_processors = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two processors and Linux",
)


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def restored_threads():
    before = _kernels.get_num_threads()
    yield
    _kernels.set_num_threads(before)


def test_set_num_threads(restored_threads):
    for num_threads in (1, 3, np.int64(2)):
        _kernels.set_num_threads(num_threads)
        assert _kernels.get_num_threads() == num_threads == _kernels.cpu_info()["num_threads"]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, None, "two", "", [2]])
def test_set_num_threads_wants_a_positive_integer(restored_threads, wrong):
    _kernels.set_num_threads(3)
    with pytest.raises(ValueError, match=r"^set_num_threads: num_threads must be an integer"):
        _kernels.set_num_threads(wrong)
    assert _kernels.get_num_threads() == 3


@several_processors
def test_a_thread_leaves_a_processor_that_is_taken():
    allowed = os.sched_getaffinity(0)
    first, second = sorted(allowed)[:2]

    def leave():
        os.sched_setaffinity(0, {first})
        threads.leave_processor(first)  # may not be elsewhere
        kept = [os.sched_getaffinity(0)]
        for taken in (first, second):
            while os.sched_getaffinity(0) != allowed - {taken}:
                os.sched_setaffinity(0, {taken})  # it goes there
                os.sched_setaffinity(0, allowed)  # and may be moved here already
                threads.leave_processor(taken)
            kept.append(os.sched_getaffinity(0))
        return kept

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(leave).result() == [{first}, allowed - {first}, allowed - {second}]


@several_processors
def test_a_thread_that_left_two_processors_may_be_on_the_first_again():
    allowed = os.sched_getaffinity(0)

    def leave():
        for _ in range(2):
            for _ in range(2):
                threads.leave_processor(threads.processor())
        return os.sched_getaffinity(0)

    with ThreadPoolExecutor(1) as pool:
        assert len(pool.submit(leave).result()) == len(allowed) - 1


@pytest.mark.parametrize("number", [-1, 10**6])
def test_a_processor_that_does_not_exist_is_left_by_nobody(number):
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    threads.leave_processor(number)
    assert before is None or os.sched_getaffinity(0) == before


def test_any_number_of_threads_gives_the_same_result(make_call, dtype):
    calls = [
        make_call(np.random.default_rng(1), 64, 64, dtype, num_threads=num_threads)
        for num_threads in (1, 2, 3, 1000)
    ]
    wanted, *others = (call() for call in calls)
    for results in others:
        np.testing.assert_equal(results, wanted)


@pytest.fixture(params=[1, 2, 100], ids=lambda per_group: f"groups of {per_group}")
def shared(request):
    thread_groups.force_threads_per_group(request.param)
    yield request.param
    thread_groups.force_threads_per_group(0)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("N", "T", "H"), [(1, 60, 270), (3, 40, 200), (9, 20, 513)])
def test_sharing_rows_or_units_gives_the_same_result(isa, variant, N, T, H, dtype, shared):
    rng = np.random.default_rng(3)
    problem = recurrent_problem(variant, rng, N=N, T=T, D=45, H=H, dtype=dtype)
    options = {"lengths": random_lengths(rng, N, T)}
    if N == 3:
        options["drop_h"] = random_drop(rng, (N, H), dtype)

    def call(num_threads):
        y, states, stash = problem.forward(_kernels, num_threads=num_threads, **options)
        gradients = problem.backward(_kernels, stash, num_threads=num_threads)
        return [y, *states, *gradients.values()]

    wanted = call(1)
    for num_threads in (2, 3, 5):
        np.testing.assert_equal(call(num_threads), wanted)


def test_a_group_has_threads():
    with pytest.raises(ValueError, match="count must be at least 0, got -1"):
        thread_groups.force_threads_per_group(-1)


def test_updates_on_any_number_of_threads(update, dtype, restored_threads):
    name, moments, options = update
    arrays = np.abs(np.random.default_rng(3).standard_normal((2 + moments, 300_001))).astype(dtype)
    results = []
    for num_threads in (1, 2, 3):
        _kernels.set_num_threads(num_threads)
        changed = arrays.copy()
        getattr(_kernels, name)(*changed, **options)
        norm = _kernels.squared_norm(changed[0])
        _kernels.scale_in_place(changed[1], 0.3)
        results.append([changed, norm])
        assert norm == pytest.approx(float(np.sum(changed[0].astype(np.float64) ** 2)), rel=1e-12)
    np.testing.assert_equal(results[1:], results[:1] * 2)


def test_openmp_is_loaded_with_our_setting():
    environment = {**os.environ, "OMP_DISPLAY_ENV": "verbose"}
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        environment.pop(name, None)
    command = [sys.executable, "-c", "import fastrnn._kernels"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    # GNU's OpenMP says what it found when it was loaded; another one knows no such setting.
    assert re.findall("GOMP_SPINCOUNT = '(.*)'", shown.stderr) in ([openmp_env.SPINS], [])


@pytest.mark.skipif(
    os.environ.get("OMP_NUM_THREADS") == "1", reason="there is no limit below one thread"
)
def test_a_limit_on_openmp_is_a_limit_here(restored_threads):
    assert any(pool["user_api"] == "openmp" for pool in threadpool_info())
    for setting in (2, 3):
        _kernels.set_num_threads(setting)
        with threadpool_limits(1, user_api="openmp"):
            assert _kernels.get_num_threads() == 1
            with ThreadPoolExecutor(1) as pool:  # OpenMP has a setting for each thread
                assert pool.submit(_kernels.get_num_threads).result() == setting
        assert _kernels.get_num_threads() == setting


LIMITED = """
import os
import numpy as np
from threadpoolctl import threadpool_limits
from fastrnn import _kernels

logits = np.random.default_rng(1).standard_normal((100, 3000)).astype(np.float32)
targets = np.arange(100)
count = lambda: len(os.listdir("/proc/self/task"))
before = count()
for num_threads in (None, 2):
    with threadpool_limits(1):
        _kernels.softmax_cross_entropy(
            logits, targets, ignore_index=None, train=True, num_threads=num_threads
        )
    assert count() == before, "a thread in spite of the limit"
_kernels.softmax_cross_entropy(logits, targets, ignore_index=None, train=True, num_threads=2)
assert count() == before + 1, "no thread without a limit"
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads cannot be counted here")
def test_no_thread_is_made_in_spite_of_a_limit():
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "FASTRNN_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", LIMITED], env=environment, check=True, timeout=600)


def test_calls_from_several_python_threads(make_call):
    calls = [
        make_call(np.random.default_rng(seed), size, size, "float32", num_threads=1 + seed % 2)
        for seed, size in enumerate((3, 5, 17, 33, 64, 65))
    ]
    wanted = [call() for call in calls]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            results = list(pool.map(lambda call: call(), calls))
            np.testing.assert_equal(results, wanted)


CHILDREN = """
import multiprocessing, sys
import numpy as np
import fastrnn

def train():
    rng = np.random.default_rng(1)
    layer, attention = fastrnn.LSTM(65, 64, rng=2), fastrnn.Attention()
    y, _ = layer(rng.standard_normal((64, 9, 65), np.float32))
    context, _ = attention(y, y)
    dquery, dkeys, _ = attention.backward(context)
    layer.backward(dquery + dkeys)
    return {key: grad.tobytes() for key, grad in layer.grads.items()}, fastrnn.get_num_threads()

if __name__ == "__main__":
    fastrnn.set_num_threads(2)
    wanted, _ = train()
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        for result in [pool.apply_async(train) for _ in range(4)]:
            came, num_threads = result.get(timeout=600)
            assert came == wanted
            assert sys.argv[1] != "fork" or num_threads == 1
    assert train() == (wanted, 2)
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_children_compute_after_their_parent_used_threads(method, tmp_path):
    script = tmp_path / "children.py"
    script.write_text(CHILDREN)
    subprocess.run([sys.executable, str(script), method], check=True, timeout=600)


FORKED = """
import os, sys, warnings
import numpy as np
import fastrnn

layer = fastrnn.Linear(600, 600, rng=0)
x = np.ones((600, 600), np.float32)
if sys.argv[1] == "computes":
    layer(x)
elif sys.argv[1] == "sets":
    fastrnn.set_num_threads(2)
elif sys.argv[1] == "asks":
    fastrnn.cpu_info()
if os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    layer(x), layer(x)
print(fastrnn.get_num_threads(), [str(w.message)[:32] for w in caught])
fastrnn.set_num_threads(3)
print(fastrnn.get_num_threads())
"""


@needs_fork
@pytest.mark.parametrize(
    ("parent", "wanted"),
    [
        ("rests", "2 []\n3\n"),
        ("asks", "2 []\n3\n"),  # which loads the kernels
        ("sets", "2 []\n3\n"),
        ("computes", "1 ['fastrnn: this process was forked']\n1\n"),
    ],
)
def test_a_forked_child_has_all_threads_unless_its_parent_had_used_them(parent, wanted):
    done = subprocess.run(
        [sys.executable, "-c", FORKED, parent],
        env={**os.environ, "FASTRNN_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout == wanted, done.stdout + done.stderr


REFUSED = """
import os, resource, warnings
import numpy as np
import fastrnn

layer = fastrnn.Linear(600, 600, rng=0)
x = np.ones((600, 600), np.float32)
wanted = layer(x)  # one thread
fastrnn.set_num_threads(4)
if os.geteuid() == 0:
    os.setresuid(65534, 65534, 65534)  # whom the limit concerns
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        assert (layer(x) == wanted).all()
print([str(w.message) for w in caught])
"""


@needs_fork
def test_a_system_that_refuses_threads_leaves_one():
    done = subprocess.run(
        [sys.executable, "-c", REFUSED],
        env={**os.environ, "FASTRNN_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    wanted = "['fastrnn: the system refuses a thread: calls run on 1 instead of 4']\n"
    assert done.stdout == wanted, done.stdout + done.stderr


def test_calls_without_a_number_share_the_threads(restored_threads):
    _kernels.set_num_threads(3)
    a = np.random.default_rng(0).standard_normal((2_000, 2_000))
    seen = set()
    with ThreadPoolExecutor(1) as pool:
        while 2 not in seen:
            other = pool.submit(_kernels.linear_forward, a, a, None, num_threads=1)
            while not other.done():
                seen.add(threads.usable(None, 1e9))
                assert threads.usable(3, 1e9) == 3
            other.result()
    assert seen <= {2, 3}
    assert threads.usable(None, 1e9) == 3


FEWER = """
import numpy as np
import fastrnn
from fastrnn._kernels.runtime import thread_groups

layer = fastrnn.LSTM(256, 256, rng=0)
x = np.random.default_rng(1).standard_normal((300, 3, 256), np.float32)
for count in (0, 2, 3):
    thread_groups.force_threads_per_group(count)
    y, _ = layer(x, num_threads=4)
    layer.backward(y, num_threads=4)
    print(float(y.sum()), float(layer.grads["Wh_l0"].sum()))
"""


def test_openmp_may_give_fewer_threads_than_asked_for():
    printed = []
    for limit in ("1", "2", "3", "4"):
        environment = {**os.environ, "OMP_THREAD_LIMIT": limit, "OMP_NUM_THREADS": "4"}
        done = subprocess.run(
            [sys.executable, "-c", FEWER],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        printed.append(done.stdout)
    assert set(printed) == {printed[0]} != {""}
    assert len(set(printed[0].splitlines())) == 1


COUNT = "from fastrnn import get_num_threads; print(get_num_threads())"
IN_A_CGROUP = """
import pathlib

read = pathlib.Path.read_text
tree = {"/proc/self/cgroup": "0::/\\n", "/sys/fs/cgroup/cpu.max": "100000 100000\\n"}
pathlib.Path.read_text = lambda path, *a, **k: tree.get(str(path)) or read(path, *a, **k)
"""


def count_of(before="", **environment):
    kept = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", before + COUNT]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True)


def test_a_quota_of_one_processor_is_one_thread():
    done = count_of(IN_A_CGROUP)
    assert done.stdout == "1\n", done.stdout + done.stderr


@pytest.mark.parametrize("value", ["auto", "0", "", "-1", "1.5", "x,2", ",", " ", "2 threads"])
def test_a_wrong_setting_of_openmp_is_ignored_with_a_warning(value):
    default, done = count_of(), count_of(OMP_NUM_THREADS=value)
    assert (done.returncode, done.stdout) == (0, default.stdout), done.stderr
    # OpenMP itself prints a warning, too.
    ours = [line for line in done.stderr.splitlines() if "RuntimeWarning" in line]
    (line,) = ours
    assert "OMP_NUM_THREADS must be an integer of at least 1, got " in line
    assert line.endswith("; it is ignored")
    own = count_of(OMP_NUM_THREADS=value, FASTRNN_NUM_THREADS="1")
    assert own.stdout == "1\n"


@pytest.mark.parametrize("value", ["1", "1,4", " 1 "])
def test_a_setting_of_openmp(value):
    done = count_of(OMP_NUM_THREADS=value)
    assert done.stdout == "1\n" and "RuntimeWarning" not in done.stderr


def test_a_wrong_setting_of_our_own_is_an_error():
    for value in ("auto", "0", "-1"):
        done = count_of(FASTRNN_NUM_THREADS=value)
        message = "FASTRNN_NUM_THREADS must be an integer of at least 1, got"
        assert done.returncode == 1 and message in done.stderr.splitlines()[-1]
    assert count_of(FASTRNN_NUM_THREADS="").stdout == count_of().stdout
