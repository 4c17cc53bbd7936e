"""torch's own tools on layers: they are followed, or refused, never ignored."""

import copy
import functools
import io
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrizations, parametrize, prune

import saltation as sal

SPIKES = sal.Spikes.from_lists([[(0.1, 0), (0.2, 1), (0.3, 2)]], 3, 4.0)


def connection(kind="Linear", **options):
    generator = torch.Generator().manual_seed(1)
    if kind == "Linear":
        made = sal.Linear(3, 2, generator=generator, **options)
    elif kind == "Sparse":
        made = sal.Sparse(3, 2, torch.tensor([0, 1, 2, 2]), torch.tensor([0, 0, 0, 1]), generator=generator, **options)
    elif kind == "Conv2d":
        made = sal.Conv2d((1, 1, 3), 1, (1, 2), generator=generator, **options)
    else:
        made = sal.Parallel(*(sal.Linear(3, 2, generator=generator, **options) for _ in range(2)))
    for part in made.parts():
        with torch.no_grad():
            part.weight.add_(3.0)
    return made


def layer(kind="Linear", **options):
    return sal.Layer(connection(kind, **options), sal.LIF(2, tau_mem=2.0, tau_syn=1.0))


# -- draws


def test_terminals_are_not_copies():
    terminals = sal.Parallel(*(sal.Linear(2, 10, delay="axonal", max_delay=0.5) for _ in range(8)))
    weights = torch.stack([part.weight.detach() for part in terminals.parts()])
    assert len({tuple(weight.flatten().tolist()) for weight in weights}) == 8


# -- weights that are computed


@pytest.mark.parametrize("kind", ["Linear", "Sparse", "Conv2d", "Parallel"])
@pytest.mark.parametrize("neuron", ["LIF", "LI"])
def test_pruning_is_followed(kind, neuron):
    def make():
        made = connection(kind)
        neurons = sal.LIF(2, 2.0, 1.0) if neuron == "LIF" else sal.LI(2, 2.0, 1.0)
        return sal.Layer(made, neurons)

    def result(where):
        out = where(SPIKES)
        return out.times if neuron == "LIF" else out.integral()

    pruned, plain = make(), make()
    for part in pruned.connection.parts():
        prune.custom_from_mask(part, "weight", torch.ones_like(part.weight))
    for a, b in zip(pruned.connection.parts(), plain.connection.parts(), strict=True):
        with torch.no_grad():  # a step of an optimiser
            a.weight_orig.mul_(1.5)
            b.weight.mul_(1.5)
    torch.testing.assert_close(result(pruned), result(plain), rtol=0, atol=0)
    for part in pruned.connection.parts():
        mask = torch.zeros_like(part.weight)
        prune.custom_from_mask(part, "weight", mask)
    if neuron == "LIF":
        assert pruned(SPIKES).times.numel() == 0
    else:
        assert not pruned(SPIKES).integral().any()


def test_pruning_of_recurrent_weights_is_followed():
    where = sal.Layer(connection(), sal.LIF(2, 2.0, 1.0), recurrent=sal.Linear(2, 2))
    torch.nn.init.constant_(where.recurrent.weight, -1.0)
    with_feedback = where(SPIKES).times.numel()
    prune.custom_from_mask(where.recurrent, "weight", torch.zeros(2, 2))
    without = where(SPIKES).times.numel()
    where.recurrent.weight_orig.data.fill_(-7.0)
    assert with_feedback < without == where(SPIKES).times.numel() == layer()(SPIKES).times.numel()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_weight_norm_by_hooks_is_followed():
    where = layer()
    torch.nn.utils.weight_norm(where.connection, "weight")
    before = where(SPIKES).times.detach().clone()
    where(SPIKES).times.sum().backward()
    assert where.connection.weight_g.grad.abs().sum() > 0
    with torch.no_grad():
        where.connection.weight_g.mul_(1.3)
    after = where(SPIKES).times
    expected = layer()
    with torch.no_grad():
        expected.connection.weight.mul_(1.3)
    assert not torch.equal(after[: before.numel()], before)
    torch.testing.assert_close(after, expected(SPIKES).times, rtol=1e-6, atol=1e-6)


def test_weight_norm_by_parametrization_is_followed():
    where = layer()
    parametrizations.weight_norm(where.connection)
    where(SPIKES).times.sum().backward()
    gain = where.connection.parametrizations.weight.original0
    assert gain.grad.abs().sum() > 0
    with torch.no_grad():
        gain.mul_(1.3)
    expected = layer()
    with torch.no_grad():
        expected.connection.weight.mul_(1.3)
    torch.testing.assert_close(where(SPIKES).times, expected(SPIKES).times, rtol=1e-6, atol=1e-6)


class Positive(torch.nn.Module):
    def forward(self, values):
        return values.abs()


@pytest.mark.parametrize("kind", ["Linear", "Sparse", "Conv2d", "Parallel"])
@pytest.mark.parametrize("tool", ["prune", "parametrize"])
def test_writing_to_computed_weights_is_refused(kind, tool):
    where = sal.Layer(connection(kind), sal.LIF(2, tau_mem=2.0, tau_syn=1.0))
    part = where.connection.parts()[0]
    if tool == "prune":
        prune.random_unstructured(part, "weight", 0.5)
    else:
        parametrize.register_parametrization(part, "weight", Positive())
    generator, silent = torch.Generator(), sal.Spikes.from_lists([[]], 2, 1.0)
    for call in (
        lambda: sal.init.normal_(where, 0.0, 1.0, generator),
        lambda: sal.init.drive_(where, SPIKES, generator),
        lambda: sal.regularizers.bump_silent_(where, silent, 0.5, 0.1),
    ):
        with pytest.raises(ValueError, match="the weight of this .* is computed, by pruning.*remove"):
            call()


def test_writing_to_computed_delays_is_refused():
    made = connection(delay="synaptic", max_delay=1.0)
    parametrize.register_parametrization(made, "raw_delay", Positive())
    with pytest.raises(ValueError, match="the raw_delay of this .*Linear is computed"):
        made.set_delays(0.5)


def test_functional_call_uses_the_given_weights():
    where, other = layer(), layer()
    with torch.no_grad():
        other.connection.weight.mul_(1.5)
    out = torch.func.functional_call(where, {"connection.weight": other.connection.weight}, (SPIKES,))
    assert torch.equal(out.times, other(SPIKES).times)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies(copied):
    where = layer("Parallel", delay="axonal", max_delay=1.0)
    twin = copied(where)
    assert torch.equal(twin(SPIKES).times, where(SPIKES).times)
    with torch.no_grad():
        twin.connection.parts()[0].weight.add_(1.0)
    assert not torch.equal(twin.connection.parts()[0].weight, where.connection.parts()[0].weight)


def test_half_precision_is_refused():
    with pytest.raises(TypeError, match="weight has dtype torch.float16: use float32 or float64"):
        layer().half()(SPIKES)


# -- other devices


def moved(part, kind="Linear", neuron="LIF", **options):
    """A layer of which one part is on another device."""
    taus = (2.0, 1.0) if neuron in ("LIF", "LI") else (2.0,)
    made = sal.Layer(connection(kind, **options), getattr(sal, neuron)(2, *taus))
    (made if part == "layer" else getattr(made, part)).to("meta")
    return made


@pytest.mark.parametrize("part", ["layer", "connection", "neuron"])
@pytest.mark.parametrize("neuron", ["LIF", "LI", "QIF", "IF"])
@pytest.mark.parametrize("kind", ["Linear", "Sparse", "Conv2d", "Parallel"])
def test_a_layer_on_another_device_is_refused(kind, neuron, part):
    name = {"IF": "tau_syn"}.get(neuron, "tau_mem") if part == "neuron" else "weight"
    with pytest.raises(ValueError, match=rf"^{name} is on meta: saltation computes on the CPU; move it there.*\.cpu"):
        moved(part, kind, neuron)(SPIKES)


def moved_tensor(part, name, **options):
    """A layer of which one tensor is on another device."""
    made = layer(**options)
    part = getattr(made, part)
    (part._parameters if name in part._parameters else part._buffers)[name] = getattr(part, name).to("meta")
    return made


def moved_spikes(name):
    """Spikes of which one tensor is on another device, put there behind their back."""
    spikes = sal.Spikes.unchecked(SPIKES.times, SPIKES.units, SPIKES.offsets, SPIKES.num_units, SPIKES.duration)
    setattr(spikes, name, getattr(spikes, name).to("meta"))
    return spikes


NEURONS = sal.LIF(2, tau_mem=2.0, tau_syn=1.0)
ELSEWHERE = torch.zeros(2, device="meta")
TRAINED = sal.LIF(2, tau_mem=2.0, tau_syn=1.0, train=("tau_mem",)).to("meta")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("layer 0: weight", lambda: sal.Sequential(moved("layer"))(SPIKES)),
        ("recurrent weight", lambda: sal.Layer(connection(), NEURONS, recurrent=sal.Linear(2, 2).to("meta"))(SPIKES)),
        ("delay", lambda: moved_tensor("connection", "raw_delay", delay="synaptic", max_delay=1.0)(SPIKES)),
        *((name, functools.partial(moved_tensor("neuron", name), SPIKES)) for name in sal.neuron.PARAMETERS),
        *((name, functools.partial(layer(), moved_spikes(name))) for name in ("times", "units", "offsets")),
        *((name, functools.partial(layer("Conv2d"), moved_spikes(name))) for name in ("times", "units", "offsets")),
        ("times", lambda: SPIKES.with_times(SPIKES.times.to("meta"))),
        ("times", lambda: sal.Layer(connection(), sal.LI(2, 2.0, 1.0))(SPIKES).at(ELSEWHERE)),
        ("raster", lambda: sal.Spikes.from_dense(torch.zeros(2, 3, 4, device="meta"), 0.1, time_first=True)),
        ("labels", lambda: sal.losses.shift_invariant(layer()(SPIKES), ELSEWHERE[:1].long())),
        ("values", lambda: sal.losses.readout_cross_entropy(ELSEWHERE[None], torch.zeros(1, dtype=torch.int64))),
        ("peak", lambda: sal.regularizers.peak_hinge(ELSEWHERE[None], torch.zeros(1, 2))),
        ("counts", lambda: sal.regularizers.peak_hinge(torch.zeros(1, 2), ELSEWHERE[None])),
        ("target", lambda: sal.regularizers.count_target(layer()(SPIKES), ELSEWHERE, 0.1)),
        ("the tensor of delays", lambda: connection(delay="dendritic", max_delay=1.0).set_delays(ELSEWHERE[:, None])),
        ("tau_mem", lambda: sal.LIF(2, tau_mem=ELSEWHERE, tau_syn=1.0)),
        ("tau_mem", lambda: sal.bound_(TRAINED, tau_mem=(1.0, 3.0))),
        ("mask", lambda: sal.Sparse.from_mask(ELSEWHERE[None])),
        ("target", lambda: sal.Sparse(3, 2, torch.zeros(2, dtype=torch.int64), ELSEWHERE.long())),
    ],
)  # fmt: skip
def test_tensors_on_another_device_are_refused(name, call):
    with pytest.raises(ValueError, match=rf"^{name} is on meta: saltation computes on the CPU"):
        call()


# -- parameters that are given


@pytest.mark.parametrize("value", [torch.nn.Parameter(torch.ones(2)), torch.ones(2, requires_grad=True) * 2.0])
@pytest.mark.parametrize("name", ["threshold", "tau_mem", "jump"])
def test_a_trained_tensor_as_parameter_is_refused(name, value):
    given = {"tau_mem": 2.0, "tau_syn": 1.0, "tau_adapt": 1.0} | {name: value}
    with pytest.raises(ValueError, match=rf"{name} is a tensor that is trained.*detach.*train=\('{name}',\)"):
        sal.LIF(2, **given)
    assert sal.LIF(2, **given | {name: value.detach()}, train=(name,)).get_parameter(name).requires_grad


def test_numbers_of_numpy():
    size = np.int64(2)
    made = sal.Conv2d((np.int32(1), 3, np.int64(3)), size, np.int64(2), stride=(np.int64(1), 1), padding=np.int8(0))
    assert made.out_shape == (2, 2, 2)
    neuron = sal.LIF(size, tau_mem=np.float32(2.0), tau_syn=np.float64(1.0), threshold=np.ones(2), refractory=np.inf)
    linear = sal.Linear(np.int64(3), size, delay="axonal", max_delay=np.float32(0.5))
    assert sal.Layer(linear, neuron)(SPIKES).num_units == neuron.size == 2
    for bad in (True, 1.0, (1, 2, 3), "a", (0, 1), None):
        with pytest.raises(ValueError, match="kernel_size = .*: must be a whole number >= 1"):
            sal.Conv2d((1, 8, 8), 1, bad)


# -- a readout belongs to the weights of its time


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ask", ["integral", "maximum"])
def test_a_readout_keeps_the_weights_of_its_time(dtype, ask):
    where = sal.Layer(connection(), sal.LI(2, tau_mem=2.0, tau_syn=1.0)).to(dtype)
    early, late = where(SPIKES), where(SPIKES)
    expected = getattr(early, ask)().detach()
    with torch.no_grad():
        where.connection.weight.mul_(2.0)
    values = getattr(late, ask)()
    torch.testing.assert_close(values, expected, rtol=0, atol=0)
    values.sum().backward()
    assert where.connection.weight.grad.dtype == dtype and where.connection.weight.grad.abs().sum() > 0


# -- saving and loading


@pytest.mark.parametrize("kind", ["Linear", "Sparse", "Conv2d", "Parallel"])
def test_state_dict_round_trip(kind):
    options = {"delay": "axonal", "max_delay": 1.0}
    where, other = layer(kind, **options), layer(kind, **options)
    with torch.no_grad():
        for part in where.connection.parts():
            part.weight.mul_(1.2)
            part.raw_delay.add_(0.3)
        where.neuron.threshold.mul_(0.8)
    buffer = io.BytesIO()
    torch.save(where.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert all(isinstance(value, torch.Tensor) for value in where.state_dict().values())
    assert torch.equal(other(SPIKES).times, where(SPIKES).times)


def test_drawn_wiring_can_be_made_again_from_a_state_dict():
    drawn = sal.Layer(sal.Sparse.random(20, 2, 5), sal.LIF(2, tau_mem=2.0, tau_syn=1.0))
    state = drawn.state_dict()
    other = sal.Layer(sal.Sparse.random(20, 2, 5), sal.LIF(2, tau_mem=2.0, tau_syn=1.0))
    before = other.connection.weight.detach().clone()
    with pytest.raises(RuntimeError, match=r"source = state\['connection.source'\]"):
        other.load_state_dict(state)
    assert torch.equal(other.connection.weight, before)
    again = sal.Sparse(20, 2, state["connection.source"], state["connection.target"])
    again = sal.Layer(again, sal.LIF(2, tau_mem=2.0, tau_syn=1.0))
    again.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), state.values(), strict=True))


@pytest.mark.parametrize("saved", [-0.3, 0.3])
def test_facilitation_that_was_loaded_is_legal(saved):
    def population(jump):
        return sal.LIF(2, 2.0, 1.0, jump=jump, tau_adapt=3.0, train=("jump",))

    made = population(0.2)
    made.load_state_dict(population(saved).state_dict())
    made.constrain_()
    assert made.jump.tolist() == population(saved).jump.tolist()
    with torch.no_grad():
        made.jump.fill_(-0.1)  # training goes on
    made.constrain_()
    assert made.jump.tolist() == ([0.0, 0.0] if saved > 0 else population(-0.1).jump.tolist())


@pytest.mark.parametrize(
    ("saved", "made", "message"),
    [
        (lambda: connection(delay="axonal", max_delay=1.0), lambda: connection(delay="axonal", max_delay=2.0),
         "Linear was saved with max_delay 1.0, this one has 2.0.*create it with max_delay 1.0"),
        (lambda: connection(delay="axonal", max_delay=1.0),
         lambda: connection(delay="axonal", max_delay=1.0, min_delay=0.5), "min_delay 0.0, this one has 0.5"),
        (lambda: sal.LIF(2, 2.0, 1.0, reset="subtract"), lambda: sal.LIF(2, 2.0, 1.0),
         "LIF was saved with reset 'subtract', this one has 'constant'"),
        (lambda: sal.LIF(2, 2.0, 1.0, min_slope=0.1), lambda: sal.LIF(2, 2.0, 1.0), "min_slope 0.1, this one has 0.0"),
        (lambda: sal.Sparse.from_mask(torch.eye(3)), lambda: sal.Sparse.from_mask(torch.eye(3).flip(0)),
         r"create it with source = state\['source'\] and target = state\['target'\]"),
        (lambda: sal.Conv2d((1, 4, 4), 1, 2, stride=2), lambda: sal.Conv2d((1, 4, 4), 1, 2), r"stride \[2, 2\]"),
        (lambda: sal.Linear(1, 1, delay="axonal", max_delay=1.0),
         lambda: sal.Linear(1, 1, delay="dendritic", max_delay=1.0), "delay 'axonal', this one has 'dendritic'"),
    ],
)  # fmt: skip
def test_state_dict_of_other_settings_is_refused(saved, made, message):
    target = made()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(RuntimeError, match=message):
        target.load_state_dict(saved().state_dict())
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_state_dict_without_settings_is_refused():
    where = layer(delay="axonal", max_delay=1.0)
    state = where.state_dict()
    del state["connection._extra_state"]
    with pytest.raises(RuntimeError, match=r"Missing key.*connection\._extra_state"):
        where.load_state_dict(state)
    state["connection._extra_state"] = torch.zeros(3)
    with pytest.raises(RuntimeError, match=r"connection\._extra_state is damaged"):
        where.load_state_dict(state)


def test_parameters_that_are_not_trained_are_saved():
    saved = sal.LIF(2, tau_mem=3.0, tau_syn=1.5, v_reset=-0.5, refractory=0.2, train=())
    loaded = sal.LIF(2, tau_mem=2.0, tau_syn=1.0, train=())
    loaded.load_state_dict(saved.state_dict())
    assert torch.equal(loaded.packed(), saved.packed())


# -- constrain_


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e3])
def test_constrain_never_moves_a_legal_value(scale):
    names = ("threshold", "tau_mem", "tau_syn", "tau_adapt", "jump", "v_reset")
    neuron = sal.LIF(3, tau_mem=20.0, tau_syn=5.0, tau_adapt=9.0, threshold=1.0, jump=-0.1, train=names)
    with torch.no_grad():
        for name in names:
            getattr(neuron, name).copy_(scale * torch.tensor([0.3, 1.0, 2.0]))
        neuron.v_reset.copy_(neuron.threshold * torch.tensor([0.999, -4.0, 0.0]))
        neuron.jump.copy_(scale * torch.tensor([-0.3, 0.0, 2.0]))
    before = {name: getattr(neuron, name).detach().clone() for name in names}
    neuron.constrain_()
    assert all(torch.equal(getattr(neuron, name), before[name]) for name in names)


@pytest.mark.parametrize("name", ["threshold", "tau_mem", "tau_syn"])
def test_constrain_puts_illegal_values_at_a_hundredth_of_the_legal_ones(name):
    neuron = sal.LIF(3, tau_mem=20.0, tau_syn=5.0, train=(name,))
    values = getattr(neuron, name)
    with torch.no_grad():
        values.copy_(torch.tensor([-1.0, 1e-3, 3e-3]))
    neuron.constrain_()
    assert values.tolist() == pytest.approx([2e-5, 1e-3, 3e-3], rel=1e-6)
    start = float(values.detach()[0])
    with torch.no_grad():
        values.fill_(0.0)
    neuron.constrain_()
    initial = {"threshold": 1.0, "tau_mem": 20.0, "tau_syn": 5.0}[name]
    assert start > 0 and values.tolist() == pytest.approx([0.01 * initial] * 3)
    neuron.validate()


def test_constrain_keeps_the_threshold_above_the_reset():
    neuron = sal.LIF(2, 2.0, 1.0, v_reset=0.5, train=("threshold",))
    with torch.no_grad():
        neuron.threshold.copy_(torch.tensor([0.4, 0.9]))
    neuron.constrain_()
    assert neuron.threshold.tolist() == pytest.approx([0.509, 0.9])
    neuron.validate()


def test_constrain_and_jumps():
    for start, after in ((0.1, [0.0, 0.2]), (-0.1, [-0.3, 0.2])):
        neuron = sal.LIF(2, 2.0, 1.0, jump=start, tau_adapt=3.0, train=("jump",))
        with torch.no_grad():
            neuron.jump.copy_(torch.tensor([-0.3, 0.2]))
        neuron.constrain_()
        assert neuron.jump.tolist() == pytest.approx(after)


# -- units of time


@pytest.mark.parametrize("factor", [1e6, 9e-7, 101.0])
def test_times_in_another_unit_are_noticed(factor):
    where = sal.Layer(connection(), sal.LIF(2, tau_mem=0.02, tau_syn=0.005))
    recording = sal.Spikes.from_lists([[(0.5 * factor, 0)]], 3, factor)
    with pytest.warns(UserWarning, match="are both in the same unit of time"):
        where(recording)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        where(recording)  # once a layer
        sal.Layer(connection(), sal.LIF(2, tau_mem=0.02, tau_syn=0.005))(sal.Spikes.from_lists([[]], 3, 99.0))
        sal.Layer(connection(), sal.LIF(2, tau_mem=0.005, tau_syn=0.005))(sal.Spikes.from_lists([[]], 3, 10.0))


class _Minus(torch.nn.Module):
    def forward(self, raw):
        return raw - 5.0


@pytest.mark.parametrize("name,start", [("threshold", 1.0), ("tau_mem", 1.0), ("v_reset", 8.0)])
def test_constrain_refuses_computed_values_that_it_cannot_move(name, start):
    trained = ("tau_mem", "v_reset") if name == "v_reset" else (name,)
    neuron = sal.LIF(2, tau_mem=1.0, tau_syn=0.5, train=trained)
    parametrize.register_parametrization(neuron, name, _Minus(), unsafe=True)
    original = neuron.parametrizations[name].original
    with torch.no_grad():
        original.fill_(start)
    with pytest.raises(ValueError, match=f"the {name} of this .* is computed"):
        neuron.constrain_()
    with torch.no_grad():
        original.fill_(5.5)  # 0.5, which is legal
    neuron.constrain_()
    assert original.tolist() == [5.5, 5.5]


def test_constrain_leaves_bounded_jumps_alone():
    neuron = sal.LIF(1, tau_mem=1.0, tau_syn=0.5, jump=0.1, tau_adapt=1.0, train=("jump",))
    sal.bound_(neuron, jump=(-0.5, 0.5))
    with torch.no_grad():
        neuron.parametrizations.jump.original.fill_(-1.0)
    before = neuron.jump.item()
    neuron.constrain_()
    assert neuron.jump.item() == before < 0.0


def test_a_connection_that_skips_a_layer():
    """`Sequential` puts the inputs side by side as one would by hand; only those of layers before can be."""
    generator = torch.Generator().manual_seed(0)
    neurons = {"tau_mem": 2.0, "tau_syn": 1.0}
    hidden = sal.Layer(sal.Linear(2, 4, generator=generator), sal.LIF(4, **neurons))
    parts = sal.Linear(4, 3, generator=generator), sal.Linear(2, 3, generator=generator)
    last = sal.Layer(sal.Beside(*parts), sal.LIF(3, **neurons))
    spikes = sal.Spikes.from_lists([[(0.1 * k, k % 2) for k in range(20)]], 2, 5.0)
    for layer in (hidden, last):
        sal.init.normal_(layer, 3.0, 1.0, generator)
    network = sal.Sequential(hidden, last, beside={1: (0,)})
    expected = last(hidden(spikes).beside(spikes))
    assert len(expected) and torch.equal(network(spikes).times, expected.times)
    assert torch.equal(network.run(spikes)[-1].spikes.units, expected.units)
    for others, message in (
        ((1,), "must be layers before it"),
        ((-1,), "must be layers before it"),
        ((), "expected 4"),
    ):
        with pytest.raises(ValueError, match=message):
            sal.Sequential(hidden, last, beside={1: others})
