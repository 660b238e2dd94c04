"""The weights of the stencils: exact on polynomials, and the known ones at order four."""

from __future__ import annotations

import numpy as np
import pytest
from small_survey import ORDERS

from seisfast.stencil import first_weights, second_weights


@pytest.mark.parametrize("order", ORDERS)
def test_weights_differentiate_polynomials_up_to_their_order_exactly(order: int) -> None:
    first, second = first_weights(order), second_weights(order)
    x = np.arange(-(order // 2), order // 2 + 1)
    full_first = np.array([-w for w in first[:0:-1]] + first)
    full_second = np.array(second[:0:-1] + second)
    for power in range(order + 2):
        assert full_first @ x**power == pytest.approx(float(power == 1) if power <= order else 0, abs=1e-10) or (
            power > order
        )
        assert full_second @ x**power == pytest.approx(2.0 * (power == 2), abs=1e-10)


def test_fourth_order_weights_are_the_known_ones() -> None:
    assert second_weights(4) == pytest.approx([-5 / 2, 4 / 3, -1 / 12], rel=1e-15)
    assert first_weights(4) == pytest.approx([0, 2 / 3, -1 / 12], rel=1e-15)
