"""What a long test has measured, for people."""

from __future__ import annotations

import os


def show(title: str, **rows: object) -> None:
    """Print a table of what was measured."""
    print(f"\n## {title}\n\n| what | measured |\n| --- | --- |")  # noqa: T201
    for name, value in rows.items():
        print(f"| {name.replace('_', ' ')} | {value} |")  # noqa: T201
    load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    print(f"| load of the machine, 1 5 15 min | {load} on {os.cpu_count()} cores |")  # noqa: T201


def percentiles(seconds: list[float]) -> str:
    """Return the distribution of durations, in milliseconds."""
    ranked = sorted(seconds)

    def at(share: float) -> str:
        return f"{1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))]:.1f}"

    return (
        f"p50 {at(0.5)}, p90 {at(0.9)}, p99 {at(0.99)}, max {1000 * ranked[-1]:.1f} ms"
        f" of {len(ranked)}"
    )


def mebibytes(size: float) -> str:
    """Return a size."""
    return f"{size / 2**20:.1f} MiB"
