"""An OTLP receiver that counts: a program. It says its URL, and for each order what has come."""

from __future__ import annotations

import asyncio
import json
import sys

from otlp import Receiver


async def main() -> None:
    """Receive until the input ends."""
    loop = asyncio.get_running_loop()
    async with Receiver() as receiver:
        print(json.dumps({"url": receiver.http}), flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            spans, logs = receiver.spans, receiver.logs
            told = {
                "traces": len(spans),
                "logs": len(logs),
                "events": sum(len(span.events) for span in spans),
            }
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
