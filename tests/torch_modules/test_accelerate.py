from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")
ours = pytest.importorskip("fastrnn.torch")
nn = torch.nn


class Peeky(nn.LSTM):
    """A subclass: its forward may be another."""


def model():
    torch.manual_seed(1)
    tower = nn.Sequential(nn.GRU(3, 4), nn.Linear(4, 3))
    return nn.ModuleDict(
        {
            "tower": tower,
            "lstm": nn.LSTM(3, 4, 2, dtype=torch.float64),
            "rnn": nn.RNN(3, 4, nonlinearity="relu"),
            "projected": nn.LSTM(3, 4, proj_size=2),
            "narrow": nn.GRU(3, 4, dtype=torch.bfloat16),
            "elsewhere": nn.GRU(3, 4, device="meta"),
            "cell": nn.LSTMCell(3, 4),
            "subclass": Peeky(3, 4),
        }
    )


def test_what_is_replaced_and_what_is_not():
    whole = model()
    modules, params = dict(whole.named_modules()), dict(whole.named_parameters())
    done = ours.accelerate(whole)
    assert done.replaced == ["tower.0", "lstm", "rnn"]
    assert done.left_alone == {
        "projected": "proj_size must be 0, got 2",
        "narrow": "weight_ih_l0 must be float32 or float64, got torch.bfloat16",
        "elsewhere": "weight_ih_l0 must be on the CPU, got meta",
        "cell": "LSTMCell runs a single step, which we have no module for",
        "subclass": "Peeky is a subclass, whose forward may be another",
    }
    assert str(done).splitlines()[:1] == ["tower.0: replaced"]
    assert "projected: left alone, proj_size must be 0, got 2" in str(done)
    kinds = [type(whole[name]) for name in ("lstm", "rnn", "projected")]
    assert kinds == [ours.LSTM, ours.RNN, nn.LSTM]
    assert all(module is modules[name] for name, module in whole.named_modules())
    assert all(param is params[name] for name, param in whole.named_parameters())


def test_results_are_the_same():
    whole = model()["tower"]
    plain = copy.deepcopy(whole)
    ours.accelerate(whole)
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(whole[0](x)[0], plain[0](x)[0])


def test_the_model_may_be_a_recurrent_module():
    for kind in ("LSTM", "GRU", "RNN"):
        module = getattr(nn, kind)(3, 4)
        assert ours.accelerate(module).replaced == [""]
        assert type(module) is getattr(ours, kind)
    assert str(ours.accelerate(nn.GRU(3, 4))) == "(the model): replaced"


def test_again_it_does_nothing():
    whole = model()
    first = ours.accelerate(whole)
    again = ours.accelerate(whole)
    assert again.replaced == [] and again.left_alone == first.left_alone


def test_a_shared_module_stays_shared():
    shared = nn.GRU(3, 3)
    whole = nn.ModuleList([shared, shared])
    assert ours.accelerate(whole).replaced == ["0"]
    assert whole[0] is whole[1] is shared


def test_hooks_modes_and_optimizers_stay():
    module, seen = nn.GRU(3, 4).eval(), []
    module.register_forward_hook(lambda *arguments: seen.append(arguments))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = module.weight_hh_l0.detach().clone()
    ours.accelerate(module)
    assert not module.training
    module(torch.randn(5, 2, 3))[0].sum().backward()
    optimizer.step()
    assert len(seen) == 1
    assert not torch.equal(module.weight_hh_l0, before)


def test_a_forward_put_in_by_hand_stays():
    module = nn.GRU(3, 4)
    module.forward = lambda x: x
    done = ours.accelerate(module)
    assert done.left_alone == {"": "its forward was replaced by another"}
    assert type(module) is nn.GRU


def test_parametrized_weights():
    module = nn.GRU(3, 4)
    nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    assert ours.accelerate(module).left_alone.keys() == {""}
    x, theirs = torch.randn(5, 2, 3), nn.GRU(3, 4)
    mine = copy.deepcopy(theirs)
    ours.accelerate(mine)
    for each in (theirs, mine):  # afterwards is fine: we read the weights as PyTorch does
        nn.utils.parametrizations.weight_norm(each, "weight_hh_l0")
        with torch.no_grad():
            each.parametrizations.weight_hh_l0.original0.mul_(2)
    torch.testing.assert_close(mine(x)[0], theirs(x)[0])


@pytest.mark.parametrize("value", [None, "lstm", nn.LSTM])
def test_bad_input(value):
    with pytest.raises(TypeError, match=r"accelerate: model must be a torch\.nn\.Module, got"):
        ours.accelerate(value)
