"""USD at the surface, whole nano-dollars in the database."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

_NANO = Decimal("1e-9")


def bound_nanousd(usd: Decimal) -> int:
    """Rounded up: a bound must not be too low."""
    return _whole(usd, ROUND_CEILING)


def budget_nanousd(usd: Decimal) -> int:
    """Rounded down: a budget must not be too high."""
    return _whole(usd, ROUND_FLOOR)


def cost_nanousd(usd: Decimal) -> int:
    """Rounded half even, so that sums of many do not drift."""
    return _whole(usd, ROUND_HALF_EVEN)


def usd(nanousd: int) -> Decimal:
    """Exactly that many nano-dollars."""
    return Decimal(nanousd).scaleb(-9)


def shown(nanousd: int) -> str:
    """As people read it: at least cents, and no zeros after them."""
    whole, _, fraction = f"{usd(nanousd):.9f}".partition(".")
    return f"{whole}.{fraction.rstrip('0'):0<2}"


def _whole(usd: Decimal, rounding: str) -> int:
    return int((usd / _NANO).to_integral_value(rounding))
