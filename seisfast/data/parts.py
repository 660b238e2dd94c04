"""How the models of a batch are divided among processes that train together."""

from __future__ import annotations

from seisfast.arguments import whole


def check_part(part: tuple[int, int]) -> tuple[int, int]:
    """Return (number, parts) when it names one of so many parts, else raise.

    Raises:
        TypeError: When it is not two whole numbers.
        ValueError: When there are no parts, or not this one.
    """
    try:
        number, parts = part
    except (TypeError, ValueError):
        raise TypeError(f"part must be two whole numbers (number, parts), got {part!r}") from None
    whole("parts", parts, 1)
    whole("the number of a part", number, 0)
    if number >= parts:
        raise ValueError(f"part must be (number, parts) with number < parts, got {part}")
    return number, parts


def share(models: range, part: tuple[int, int]) -> range:
    """The models of one part: neighbours, as equal in number as can be, the first parts the larger ones.

    Args:
        models: Places of the models of a batch.
        part: (number, parts).
    """
    number, parts = part
    size, rest = divmod(len(models), parts)
    start = number * size + min(number, rest)
    return models[start : start + size + (number < rest)]
