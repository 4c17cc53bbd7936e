"""Functions compiled without reference counts must neither make nor return arrays: Numba checks only the first.

Nor may the kernels that they call: those are compiled like their first caller.
"""

import subprocess
import sys

SCRIPT = """
import importlib.util, sys
import numpy as np
spec = importlib.util.find_spec("saltation.kernels")
path = spec.submodule_search_locations[0] + "/jit.py"
for name in [name for name in sys.modules if name.startswith("saltation")]:
    del sys.modules[name]
spec = importlib.util.spec_from_file_location("saltation.kernels.jit", path)
jit = importlib.util.module_from_spec(spec)
spec.loader.exec_module(jit)
seen, lenders, depth = {}, set(), [0]

def has_array(value):
    return isinstance(value, np.ndarray) or isinstance(value, tuple) and any(map(has_array, value))

def watched(function):
    def call(*arguments):
        depth[0] += 1
        result = function(*arguments)
        depth[0] -= 1
        seen[function.__name__] = seen.get(function.__name__, False) or has_array(result)
        return result
    seen.setdefault(function.__name__, None)
    return call

def watched_kernel(function, **options):
    def call(*arguments):
        result = function(*arguments)
        if depth[0] and has_array(result):
            lenders.add(function.__name__)
        return result
    return call

def watched_maker(function):
    def call(*arguments, **options):
        if depth[0]:
            lenders.add(sys._getframe(1).f_code.co_name)
        return function(*arguments, **options)
    return call

jit.borrowing, jit.embedded, jit.kernel = watched, watched, watched_kernel
jit.sum_kernel, jit.inlined = watched_kernel, lambda function: function
for name in ("empty", "zeros", "ones", "full", "argsort"):
    setattr(np, name, watched_maker(getattr(np, name)))
sys.modules["saltation.kernels.jit"] = jit
import torch
import saltation as sal

torch.manual_seed(0)  # with other delays no interval may be long
generator = torch.Generator().manual_seed(0)
spikes = sal.Spikes.from_lists([[(0.1 * k + 0.05 * i, i) for k in range(12) for i in range(3)]], 3, 3.0)
for tau in (1.0, torch.tensor([1.0, 1.5, 1.2])):
    for jump, refractory, train in ((0.0, 0.0, ()), (0.2, 0.3, ("threshold", "tau_mem", "jump"))):
        for delay in (None, "axonal", "dendritic", "synaptic"):
            options = {} if delay is None else {"delay": delay, "max_delay": 0.5}
            neurons = sal.LIF(3, tau, 0.5, 1.0, jump, 2.0, refractory=refractory, train=train)
            layer = sal.Layer(sal.Linear(3, 3, **options), neurons)
            torch.nn.init.constant_(layer.connection.weight, 1.0)
            result = layer.run(spikes, peak=True)
            assert result.spikes.times.numel() > 3
            (result.spikes.times.sum() + result.peak.sum()).backward()
            layer.free_peak(spikes)
            layer(spikes)
readout = sal.Layer(sal.Linear(3, 2), sal.LI(2, 1.0, 0.5, train=("tau_mem",)))(spikes)
readout.integral().sum().backward()
crowded = sal.Spikes.from_lists([[(0.01 * k, k % 3) for k in range(300)]], 3, 3.0)
layer = sal.Layer(sal.Linear(3, 3), sal.LIF(3, 1.0, 0.5))
torch.nn.init.constant_(layer.connection.weight, 0.1)
assert layer(crowded).times.numel() > 3
for tau in (1.0, torch.linspace(0.8, 1.2, 20)):
    neurons = sal.LIF(20, tau, 0.5, 1.0, 0.1, 2.0, refractory=0.3, train=("threshold", "tau_mem"))
    layer = sal.Layer(sal.Linear(3, 20), neurons, recurrent=sal.Linear(20, 20))
    with torch.no_grad():
        layer.connection.weight.copy_(0.1 + 0.1 * torch.rand(20, 3, generator=generator))
        layer.recurrent.weight.fill_(0.3).fill_diagonal_(0.0)
    times = layer(crowded).times
    assert times.numel() > 60
    times.sum().backward()
for recurrent in (None, sal.Linear(3, 3)):
    synaptic = sal.Linear(3, 3, delay="synaptic", max_delay=0.1)
    layer = sal.Layer(synaptic, sal.LIF(3, 1.0, 0.5), recurrent=recurrent)
    torch.nn.init.constant_(layer.connection.weight, 0.1)
    layer(crowded).times.sum().backward()
burst = sal.Spikes.from_lists([[(1.0 + 1e-8 * (37 * k % 200), k % 3) for k in range(200)] + [(2.0, 0)]], 3, 3.0)
layer = sal.Layer(sal.Linear(3, 3, delay="synaptic", max_delay=1e-7), sal.LIF(3, torch.tensor([1.0, 1.5, 1.2]), 0.5))
with torch.no_grad():
    layer.connection.set_delays(torch.linspace(0.0, 9e-8, 9).view(3, 3))
layer(burst)
for neurons in (sal.QIF(3, 1.0, pseudo_time=1.5), sal.IF(3, 1.0), sal.LIF(3, 1.0, 0.5)):
    for recurrent in (None, sal.Linear(3, 3, delay="synaptic", max_delay=0.1)):
        layer = sal.Layer(sal.Sparse.from_mask(torch.ones(3, 3)), neurons, recurrent=recurrent)
        torch.nn.init.constant_(layer.connection.weight, 1.0)
        result = layer.run(spikes, peak=neurons.has_peak)
        (result.spikes.times.sum() + (result.peak.sum() if neurons.has_peak else 0.0)).backward()
near = sal.Spikes.from_lists([[(0.1, 0), (0.3, 1), (2.0, 2)]], 3, 6.0)
calm, calm_crowd = (sal.Spikes(part.times, part.units, part.offsets, 3, 6.0) for part in (spikes, crowded))
for delay, back in ((None, None), ("dendritic", None), ("synaptic", "synaptic"), (None, "axonal")):
    for source, alike in ((calm, False), (calm_crowd, True)):
        connection = sal.Linear(3, 3, **({} if delay is None else {"delay": delay, "max_delay": 0.2}))
        recurrent = None if back is None else sal.Linear(3, 3, delay=back, max_delay=0.2)
        neurons = sal.LIF(3, 1.0 if alike else torch.tensor([1.0, 1.5, 1.2]), 0.5, 1.0, 0.1, 2.0)
        layer = sal.Layer(connection, neurons, recurrent=recurrent, smoothing=1.0)
        torch.nn.init.constant_(layer.connection.weight, 0.1 if alike else 1.0)
        found = layer(source.haunted(near))
        assert found.ghosts.times.numel() > 0
        (found.times.sum() + found.ghosts.times.sum()).backward()
missed = sorted(name for name, value in seen.items() if value is None)
wrong = sorted(name for name, value in seen.items() if value)
print("not called:", missed)
print("returns an array:", wrong)
print("makes or returns an array for one that only borrows:", sorted(lenders))
sys.exit(bool(missed or wrong or lenders))
"""


def test_borrowing_functions_make_and_return_no_arrays(monkeypatch):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
