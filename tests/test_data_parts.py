"""Batches divided among processes."""

from __future__ import annotations

import pytest

from seisfast.data.parts import check_part, share


@pytest.mark.parametrize(("models", "parts"), [(12, 2), (7, 3), (2, 5), (0, 2), (1, 1)])
def test_shares_are_neighbours_that_make_up_the_batch(models: int, parts: int) -> None:
    batch = range(30, 30 + models)
    shares = [share(batch, (number, parts)) for number in range(parts)]
    assert [model for part in shares for model in part] == list(batch)
    sizes = [len(part) for part in shares]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("part", "error"),
    [((2, 2), ValueError), ((-1, 2), ValueError), ((0, 0), ValueError), (1, TypeError), ((0.0, 1), TypeError)],
)
def test_parts_that_do_not_exist_are_refused(part: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="part"):
        check_part(part)  # type: ignore[arg-type]
