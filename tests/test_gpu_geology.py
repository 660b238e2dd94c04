"""Velocity models made on a GPU: the bits of the CPU."""

from __future__ import annotations

import pytest
import torch

from seisfast import geology
from seisfast.geology import Geology

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
FAMILIES = list(dict.fromkeys(geology.build(name) for name in geology.NAMES + geology.OPENFWI_NAMES))


@pytest.mark.parametrize("shape", [(70, 70), (37, 190), (8, 1)])
@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_models_have_the_bits_of_the_cpu(family: Geology, shape: tuple[int, int]) -> None:
    described = {**family.to_dict(), "shape": shape}
    numbers = range(1500)  # more than are made at a time
    made = geology.build(**described)(numbers, seed=3, device="cuda")
    assert made.is_cuda
    assert torch.equal(made.cpu(), geology.build(**described)(numbers, seed=3))
