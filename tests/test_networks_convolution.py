"""The networks' convolution in bfloat16 on a CPU, where oneDNN's kernels for AMX have given wrong numbers."""

from __future__ import annotations

import pytest
import torch
from small_features import relative
from torch import Tensor

from seisfast.networks.base import Conv2d

# Kernel, stride, padding: the strided convolutions of SeisInvNet and InversionNet.
STRIDED = [(3, 2, 1), ((1, 7), (1, 4), (0, 3)), ((7, 1), (2, 1), (3, 0)), ((1, 3), (1, 2), (0, 1))]
# [batch, inputs, rows], outputs.
SIZES = [((3, 4, 5), 4), ((10, 64, 32), 64), ((6, 13, 9), 26), ((4, 128, 16), 128)]


def results(convolution: Conv2d, maps: Tensor, autocast: bool = False) -> list[Tensor]:
    """Output, and the gradients of maps, weight and bias."""
    leaf = maps.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = convolution(leaf)
    weight = torch.linspace(-1, 2, out.numel()).reshape(out.shape).to(out.dtype)
    assert convolution.bias is not None
    return [out.detach(), *torch.autograd.grad(out, (leaf, convolution.weight, convolution.bias), weight)]


@pytest.mark.parametrize("channels_last", [False, True], ids=["channels-first", "channels-last"])
@pytest.mark.parametrize("columns", [1, 2, 3, 4])
@pytest.mark.parametrize(("sizes", "outputs"), SIZES, ids=str)
@pytest.mark.parametrize(("kernel", "stride", "padding"), STRIDED, ids=str)
def test_bfloat16_is_float32(
    kernel: int | tuple[int, int],
    stride: int | tuple[int, int],
    padding: int | tuple[int, int],
    sizes: tuple[int, int, int],
    outputs: int,
    columns: int,
    channels_last: bool,
) -> None:
    """Under autocast, and converted as a whole; of the weights and maps that bfloat16 has."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    convolution = Conv2d(sizes[1], outputs, kernel, stride, padding).bfloat16().float().to(memory_format=layout)
    maps = torch.randn(*sizes, columns).bfloat16().float().contiguous(memory_format=layout)
    expected = results(convolution, maps)
    cast = results(convolution, maps, autocast=True)
    assert [t.dtype for t in cast] == [torch.bfloat16, *[torch.float32] * 3]
    half = results(convolution.bfloat16(), maps.bfloat16())
    assert {t.dtype for t in half} == {torch.bfloat16}
    for found in (cast, half):
        for name, ours, theirs in zip(("output", "maps", "weight", "bias"), found, expected, strict=True):
            assert relative(ours, theirs) < 2e-2, f"{name}: {relative(ours, theirs)}"
