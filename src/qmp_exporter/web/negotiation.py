"""Which content coding a client accepts (RFC 9110, section 12.5.3)."""

from __future__ import annotations

import re


# RFC 9110, section 12.4.2: 0 to 1 with at most three decimals; what is written otherwise is not
# a weight, and an item without a valid weight is not an offer.
_WEIGHT = re.compile(r"(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


def accepts_gzip(header: str | None) -> bool:
    """Whether gzip may be sent: it is accepted, and not liked less than no coding at all.

    Args:
        header: the value of ``Accept-Encoding``; None where the client sent none. It then accepts
            anything (RFC 9110), but the clients that leave it out are those that cannot unpack.
    """
    weights = dict(item for part in (header or "").split(",") if (item := _weighted(part)))
    offers = [weights[name] for name in ("gzip", "x-gzip", "*") if name in weights]
    return bool(offers) and offers[0] > 0 and offers[0] >= weights.get("identity", 0)


def _weighted(part: str) -> tuple[str, float] | None:
    """``gzip; q=0.5`` as ``("gzip", 0.5)``; None where it cannot be understood."""
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    match parameters:
        case []:
            return name, 1.0
        case [weight] if weight.startswith("q=") and _WEIGHT.fullmatch(weight[2:]):
            return name, float(weight[2:])
    return None
