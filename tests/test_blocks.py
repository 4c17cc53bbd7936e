"""Blocks of samples on threads and in processes: the same results, bit for bit."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from problems import DELAYS, random_spikes
from torch.utils.data import DataLoader, Dataset
from worker import batch, everything, generator, in_worker, network, same

import saltation as sal


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


def test_gradients_of_all_blocks_are_summed():
    """A batch that is simulated in several blocks: its gradient is the sum of those of its samples."""
    layer = sal.Layer(sal.Linear(3, 400).double(), sal.LIF(400, tau_mem=2.0, tau_syn=1.0, train=()))
    torch.nn.init.uniform_(layer.connection.weight, 0.5, 3.0, generator=generator(1))
    spikes = random_spikes(generator(2), samples=9, units=3, events=60)
    total = torch.autograd.grad(layer(spikes).times.sum(), layer.connection.weight)[0]
    parts = [layer(spikes.sample(b)).times.sum() for b in range(8)]
    single = sum(torch.autograd.grad(part, layer.connection.weight)[0] for part in parts)
    assert 3 * sal.blocks.SYNAPTIC_EVENTS_PER_BLOCK < 8 * 60 * 400 and single.abs().max() > 0
    torch.testing.assert_close(total, single, rtol=1e-10, atol=1e-10 * float(single.abs().max()))
