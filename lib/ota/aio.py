"""The same update as an asyncio task beside an application that keeps running."""

import asyncio

from . import steps


async def check_and_update(progress=None, url=None, pause_ms=5):
    """As ota.check_and_update(), giving way at each step; pause_ms while there is nothing."""
    work = steps(url)
    while True:
        try:
            step = next(work)
        except StopIteration as e:
            return e.value
        if step is not None and progress:
            progress(*step)
        await asyncio.sleep(0 if step is not None else pause_ms / 1000)
