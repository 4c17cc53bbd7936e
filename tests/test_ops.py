"""The seam between torch and the kernels: buffers, memory, and no state anywhere."""

import pytest
import torch
from problems import DELAYS, random_spikes
from worker import batch, everything, generator, network, same

import saltation as sal


def test_no_state_between_calls():
    model, spikes = network(), batch()
    first = everything(model, spikes)
    everything(model, random_spikes(generator(5), samples=3))
    with pytest.raises(ValueError, match="expected 4"):
        model(sal.Spikes.from_lists([[(0.0, 0)]], 2, 1.0))
    assert same(first, everything(model, spikes))
    buffers = {name for name, _ in model.named_buffers()}
    assert all(name.split(".")[-1] in sal.neuron.PARAMETERS for name in buffers)


@pytest.mark.parametrize("delay", DELAYS)
def test_a_batch_equals_its_samples(delay):
    model, spikes = network(delay), batch(11)
    whole = everything(model, spikes)
    singles = [everything(model, spikes.sample(b)) for b in range(11)]
    times = torch.cat([single[0] for single in singles])
    units = torch.cat([single[1] for single in singles])
    assert torch.equal(whole[0], times) and torch.equal(whole[1], units)
    for k in (6, 7, 5):  # peaks of both layers, readout
        assert torch.equal(whole[k], torch.cat([single[k] for single in singles]))
    assert torch.equal(whole[8], torch.cat([single[8] for single in singles]))  # input times: each has its own
    for k in range(9, len(whole)):
        total = sum(single[k] for single in singles)
        torch.testing.assert_close(whole[k], total, rtol=1e-5, atol=1e-5 * float(total.abs().max()))


def test_output_is_sorted_and_legal():
    out = network()(batch())
    sal.Spikes(out.times, out.units, out.offsets, out.num_units, out.duration)  # validates


def test_no_spike_is_lost_when_the_buffer_grows():
    """Few inputs, thousands of spikes, in some samples only: the buffer grows several times in one block."""
    layer = sal.Layer(sal.Linear(1, 3).double(), sal.LIF(3, tau_mem=2.0, tau_syn=50.0))
    with torch.no_grad():
        layer.connection.weight.copy_(torch.tensor([[1000.0], [0.5], [300.0]]))
    events = [[] if b % 3 == 2 else [(0.01 * b, 0)] for b in range(40)]
    spikes = sal.Spikes.from_lists(events, 1, 20.0)
    spikes = spikes.with_times(spikes.times.requires_grad_())
    whole = layer(spikes)
    assert whole.times.numel() > 100_000
    assert not whole.counts()[:, 1].any()
    gradient = torch.autograd.grad(whole.times.sum(), [spikes.times, layer.connection.weight])
    total = torch.zeros(3, 1, dtype=torch.float64)
    start = 0
    for b in range(40):
        single = layer(spikes.sample(b))
        stop = start + single.times.numel()
        assert torch.equal(whole.times[start:stop], single.times)
        assert torch.equal(whole.units[start:stop], single.units)
        if b < 6 and single.times.numel():
            (part,) = torch.autograd.grad(single.times.sum(), spikes.times, retain_graph=True)
            assert part[spikes.offsets[b]] == gradient[0][spikes.offsets[b]]
        if single.times.numel():
            total += torch.autograd.grad(single.times.sum(), layer.connection.weight)[0]
        start = stop
    assert start == whole.times.numel()
    torch.testing.assert_close(gradient[1], total, rtol=1e-10, atol=0)


def kept_bytes(spikes):
    """Bytes that the last layer keeps for its backward pass, besides its own arguments."""
    arrays = []
    for item in spikes.times.grad_fn.kept:
        arrays.extend(item if isinstance(item, tuple) else [item])
    for array in arrays:
        assert array.base is None or array.base.nbytes == array.nbytes, "a view keeps a larger buffer alive"
    return sum(array.nbytes for array in arrays)


def test_memory_kept_does_not_depend_on_the_duration():
    layer = network()[0]

    def run(duration, events=8):
        return layer(random_spikes(generator(3), samples=20, events=events, duration=duration))

    short, long = run(40.0), run(80.0)
    assert short.times.numel() == long.times.numel() > 100
    assert kept_bytes(short) == kept_bytes(long)
    # 5 numbers a spike, its place in the order, and the tables of samples and neurons
    more = run(40.0, events=16)
    extra = more.times.numel() - short.times.numel()
    assert extra > 50
    assert kept_bytes(more) - kept_bytes(short) == extra * (5 + 1) * 8


def test_a_graph_can_be_used_twice():
    layer, spikes = network()[0], batch(5)
    times = layer(spikes).times
    once = torch.autograd.grad(times.sum(), layer.connection.weight, retain_graph=True)[0]
    assert torch.equal(once, torch.autograd.grad(times.sum(), layer.connection.weight)[0])


def test_no_graph_without_gradients():
    layer, spikes = network()[0], batch(5)
    with torch.no_grad():
        assert not layer(spikes).times.requires_grad
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    assert not layer(spikes).times.requires_grad


def test_second_derivatives_are_refused():
    layer, spikes = network()[0], batch(5)
    (gradient,) = torch.autograd.grad(layer(spikes).times.sin().sum(), layer.connection.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiable"):
        gradient.sum().backward()
