"""Pictures of networks."""

import torch

import saltation as sal
from saltation import plot


def test_sample_picture_of_a_network_with_pooling(tmp_path):
    image = sal.Conv2d((1, 4, 4), 2, 1, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(image.weight, 4.0)
    pool = sal.SumPool2d(image.out_shape, 2)
    network = sal.Sequential(
        sal.Layer(image, sal.LIF(2, 2.0, 1.0)), pool, sal.Layer(sal.Linear(pool.out_size, 3), sal.LI(3, 2.0, 1.0))
    )
    spikes = sal.Spikes.from_lists([[(0.1 * i, i) for i in range(16)]], 16, 6.0)
    plot.sample_picture(network, spikes, tmp_path / "sample.png")
    assert (tmp_path / "sample.png").stat().st_size > 10_000
