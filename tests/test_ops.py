"""The seam between torch and the kernels: threads, processes, buffers, memory, and no state anywhere."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from problems import DELAYS, random_spikes
from torch.utils.data import DataLoader, Dataset
from worker import batch, everything, generator, in_worker, network

import saltation as sal


def same(left, right):
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.fixture
def threads():
    """Set the number of threads; the old one comes back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("delay", DELAYS)
@pytest.mark.parametrize("samples", [2, 17, 40])
def test_bit_identical_for_any_number_of_threads(threads, delay, samples):
    model, spikes = network(delay), batch(samples)
    found = []
    for count in (1, 2, 4, 1):
        threads(count)
        found.append(everything(model, spikes))
    assert found[0][0].numel() > 0
    assert all(same(found[0], other) for other in found[1:])


def test_several_python_threads_at_once(threads):
    threads(2)
    models = [network(delay) for delay in DELAYS]
    spikes = batch()
    expected = [everything(model, spikes) for model in models]
    with ThreadPoolExecutor(4) as pool:
        jobs = [(k, pool.submit(everything, models[k], spikes)) for _ in range(4) for k in range(len(models))]
        for k, job in jobs:
            assert same(job.result(timeout=120), expected[k])


# After a fork torch itself hangs in OpenMP unless it is set to one thread, as its DataLoader does in every worker.
@pytest.mark.parametrize(
    ("method", "count"), [("fork", 1), ("forkserver", 2), pytest.param("spawn", 2, marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_in_other_processes(threads, method, count):
    threads(2)
    expected = [tensor.tolist() for tensor in everything(network(), batch())]  # the pool of this process exists
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=in_worker, args=(queue, count), daemon=True)
    process.start()
    found = queue.get(timeout=120)
    process.join(timeout=30)
    assert process.exitcode == 0
    assert found == expected


class Simulated(Dataset):
    """Samples that are put through a layer where they are loaded."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        out = network()(batch(7).sample(index)).detach()
        return out.times.tolist()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_in_workers_of_a_data_loader(threads):
    threads(2)
    expected = [Simulated()[k] for k in range(6)]
    loader = DataLoader(
        Simulated(), batch_size=2, num_workers=2, collate_fn=list, multiprocessing_context="fork", timeout=120
    )
    assert [times for part in loader for times in part] == expected


def test_no_state_between_calls():
    model, spikes = network(), batch()
    first = everything(model, spikes)
    everything(model, random_spikes(generator(5), samples=3))
    with pytest.raises(ValueError, match="expected 4"):
        model(sal.Spikes.from_lists([[(0.0, 0)]], 2, 1.0))
    assert same(first, everything(model, spikes))
    buffers = {name for name, _ in model.named_buffers()}
    assert all(name.split(".")[-1] in sal.neurons.PARAMETERS for name in buffers)


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


def test_gradients_of_all_blocks_are_summed():
    """A batch that is simulated in several blocks: its gradient is the sum of those of its samples."""
    layer = sal.Layer(sal.Linear(3, 400).double(), sal.LIF(400, tau_mem=2.0, tau_syn=1.0, train=()))
    torch.nn.init.uniform_(layer.connection.weight, 0.5, 3.0, generator=generator(1))
    spikes = random_spikes(generator(2), samples=9, units=3, events=60)
    total = torch.autograd.grad(layer(spikes).times.sum(), layer.connection.weight)[0]
    parts = [layer(spikes.sample(b)).times.sum() for b in range(8)]
    single = sum(torch.autograd.grad(part, layer.connection.weight)[0] for part in parts)
    assert 3 * sal.ops.SYNAPTIC_EVENTS_PER_BLOCK < 8 * 60 * 400 and single.abs().max() > 0
    torch.testing.assert_close(total, single, rtol=1e-10, atol=1e-10 * float(single.abs().max()))


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
    # 4 numbers a spike, its place in the order, and the tables of samples and neurons
    more = run(40.0, events=16)
    extra = more.times.numel() - short.times.numel()
    assert extra > 50
    assert kept_bytes(more) - kept_bytes(short) == extra * (4 + 1) * 8


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
