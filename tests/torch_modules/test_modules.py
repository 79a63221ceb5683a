"""Our modules as PyTorch modules: construction, state, copies, processes, bad input."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys

import pytest
from support.backends import needs_kernels

torch = pytest.importorskip("torch")
ours = pytest.importorskip("fastrnn.torch")

KINDS = ("LSTM", "GRU", "RNN")


@pytest.mark.parametrize("kind", KINDS)
def test_construction_is_pytorch_s(kind):
    made = []
    for package in (torch.nn, ours):
        torch.manual_seed(1)
        options = {"bias": True, "batch_first": True, "dropout": 0.2, "bidirectional": True}
        made.append(getattr(package, kind)(3, 4, 2, **options, device="cpu", dtype=torch.float64))
    theirs, mine = made
    assert isinstance(mine, getattr(torch.nn, kind))
    assert repr(mine) == repr(theirs) and mine.extra_repr() == theirs.extra_repr()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    torch.manual_seed(2)
    mine.reset_parameters()
    torch.manual_seed(2)
    theirs.reset_parameters()
    assert torch.equal(mine.weight_hh_l1_reverse, theirs.weight_hh_l1_reverse)
    mine.flatten_parameters()


def test_positional_arguments():
    assert ours.RNN(3, 4, 1, "relu", False, True).nonlinearity == "relu"
    assert ours.LSTM(3, 4, 2, False, True, 0.5, True).bidirectional


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_dict_goes_both_ways(kind):
    mine, theirs = getattr(ours, kind)(3, 4, 2), getattr(torch.nn, kind)(3, 4, 2)
    x = torch.randn(5, 2, 3)
    theirs.load_state_dict(mine.state_dict())
    torch.testing.assert_close(mine(x)[0], theirs(x)[0])
    theirs.reset_parameters()
    mine.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(mine(x)[0], theirs(x)[0])


def through_torch_save(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module)), through_torch_save],
    ids=["deepcopy", "pickle", "torch.save"],
)
def test_copies(kind, copied):
    module = getattr(ours, kind)(3, 4, 2, bidirectional=True).eval()
    x = torch.randn(5, 2, 3)
    y, _ = module(x)
    other = copied(module)
    assert type(other) is type(module) and not other.training
    assert torch.equal(other(x)[0], y)
    with torch.no_grad():
        other.weight_ih_l0.zero_()
    assert torch.equal(module(x)[0], y)
    assert not torch.equal(other(x)[0], y)


def test_dtypes_come_and_go():
    module = ours.GRU(3, 4)
    x = torch.randn(5, 2, 3)
    y, _ = module(x)
    wide, _ = module.double()(x.double())
    assert wide.dtype == torch.float64
    torch.testing.assert_close(wide.float(), y)


def test_dropout_is_for_training():
    module = ours.LSTM(3, 4, 2, dropout=0.5)
    x = torch.randn(5, 2, 3)
    assert not torch.equal(module(x)[0], module(x)[0])
    module.eval()
    assert torch.equal(module(x)[0], module(x)[0])


def test_autocast_computes_in_the_dtype_of_the_weights():
    module, x = ours.GRU(3, 4), torch.randn(5, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, h = module(x.bfloat16(), torch.zeros(1, 2, 4, dtype=torch.bfloat16))
    assert y.dtype == h.dtype == torch.float32
    torch.testing.assert_close(y, module(x.bfloat16().float())[0])


@pytest.mark.filterwarnings("ignore")  # of tracing and exporting: about torch.nn's own forward
@pytest.mark.parametrize("kind", KINDS)
def test_traces_and_exports_hold_pytorch_s_operator(kind):
    module = getattr(ours, kind)(3, 4, 2, bidirectional=True).eval()
    x, other = torch.randn(2, 5, 2, 3)
    with torch.no_grad():
        wanted, _ = module(other)
        torch.testing.assert_close(torch.jit.trace(module, x)(other)[0], wanted)
        exported = torch.export.export(module, (x,))
        torch.testing.assert_close(exported.module()(other)[0], wanted)


@needs_kernels  # NumPy's code is translated into PyTorch's operations
def test_torch_compile_calls_it_as_it_is():
    module, x = ours.GRU(3, 4), torch.randn(5, 2, 3)
    compiled = torch.compile(torch.nn.Sequential(module), backend="eager")
    y, wanted = compiled(x)[0], module(x)[0]
    assert torch.equal(y, wanted) and type(y.grad_fn) is type(wanted.grad_fn)


class Encoded(torch.utils.data.Dataset):
    """Sequences that have run through a module, in whatever process asks for them."""

    def __init__(self, module, x):
        self.module, self.x = module, x

    def __len__(self):
        return self.x.shape[1]

    def __getitem__(self, index):
        with torch.no_grad():
            return self.module(self.x[:, index])[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
def test_forked_data_loader_workers():
    module, x = ours.GRU(32, 128, batch_first=True), torch.randn(50, 8, 32)
    y, _ = module(x.transpose(0, 1))  # the parent's threads have run before the fork
    loader = torch.utils.data.DataLoader(
        Encoded(module, x), batch_size=4, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    torch.testing.assert_close(torch.cat(list(loader)), y.detach())


def lstm():
    return ours.LSTM(3, 4, bidirectional=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ours.LSTM(3, 4, proj_size=2), ValueError, "LSTM: proj_size must be 0, got 2"),
        (lambda: ours.GRU(3, 4, proj_size=2), ValueError, "proj_size argument is only supported"),
        (lambda: ours.RNN(3, 4, nonlinearity="elu"), ValueError, "Unknown nonlinearity 'elu'"),
        (lambda: ours.GRU(3, 0), ValueError, "hidden_size must be greater than zero"),
        (lambda: lstm()([[1.0]]), TypeError, "LSTM: input must be a Tensor, got a list of 1"),
        (lambda: lstm()(torch.zeros(3)), ValueError, "LSTM: input must be 2-D or 3-D, got 1-D"),
        (lambda: lstm()(torch.zeros(5, 2, 4)), RuntimeError, "Expected 3, got 4"),
        (
            lambda: lstm()(torch.zeros(5, 2, 3, dtype=torch.float64)),
            ValueError,
            "LSTM: input must be torch.float32, as the weights, got torch.float64",
        ),
        (
            lambda: lstm()(torch.zeros(5, 2, 3, device="meta")),
            ValueError,
            "LSTM: input must be on the CPU, got meta",
        ),
        (
            lambda: lstm().half()(torch.zeros(5, 2, 3)),
            ValueError,
            "LSTM: weight_ih_l0 must be float32 or float64, got torch.float16",
        ),
        (
            lambda: ours.GRU(3, 4, device="meta")(torch.zeros(5, 2, 3)),
            ValueError,
            "GRU: weight_ih_l0 must be on the CPU, got meta",
        ),
        (
            lambda: lstm()(torch.zeros(5, 2, 3), torch.zeros(2, 2, 4)),
            TypeError,
            r"LSTM: hx must be \(h_0, c_0\), got a Tensor",
        ),
        (
            lambda: ours.GRU(3, 4)(torch.zeros(5, 2, 3), (torch.zeros(1, 2, 4),)),
            TypeError,
            "GRU: hx must be a Tensor, got a tuple of 1",
        ),
        (
            lambda: ours.GRU(3, 4)(torch.zeros(5, 2, 3), torch.zeros(2, 4)),
            RuntimeError,
            "GRU: hx must be 3-D, as the input is, got 2-D",
        ),
        (
            lambda: ours.GRU(3, 4)(torch.zeros(5, 2, 3), torch.zeros(1, 3, 4)),
            RuntimeError,
            r"Expected hidden size \(1, 2, 4\), got \[1, 3, 4\]",
        ),
        (
            lambda: lstm()(torch.zeros(5, 2, 3), (torch.zeros(2, 2, 4), torch.zeros(1, 2, 4))),
            RuntimeError,
            r"Expected hidden\[1\] size \(2, 2, 4\), got \[1, 2, 4\]",
        ),
        (
            lambda: ours.GRU(3, 4)(torch.zeros(5, 2, 3), torch.zeros(1, 2, 4).double()),
            ValueError,
            "GRU: hx must be torch.float32, as the weights, got torch.float64",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_importing_fastrnn_does_not_import_pytorch():
    done = run_python("import sys, fastrnn, fastrnn.layers; assert 'torch' not in sys.modules")
    assert done.returncode == 0, done.stderr


def test_without_pytorch_the_import_says_so():
    done = run_python("import sys; sys.modules['torch'] = None; import fastrnn.torch")
    last = done.stderr.strip().splitlines()[-1]
    assert last == "ImportError: fastrnn.torch needs PyTorch, which is not installed"
