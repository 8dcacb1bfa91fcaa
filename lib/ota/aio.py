"""Updates as asyncio tasks, while the application keeps running."""

if False:  # for type checkers
    from ota_hints import Callable, Progress

try:
    import asyncio
except ImportError:  # the firmware's, for which the application has another time, or select
    asyncio = None  # type: ignore[assignment]

from . import steps
from .modules import firmware, load

device, clock, schedule = load("device"), load("clock"), load("source.schedule")
const, random_bytes = load("compat").const, load("compat").random_bytes
errors = load("errors")
OtaError, StateError = errors.OtaError, errors.StateError
if not hasattr(asyncio, "sleep"):
    # The loop is the application's, so is asyncio; but not what is only called so.
    asyncio = firmware("asyncio")

_PAUSE_MS = const(5)
_LONGEST_S = const(3600)  # of one sleep: the ticks of MicroPython go round in days


async def check_and_update(
    progress: "Progress | None" = None, url: str | list | None = None, pause_ms: int = _PAUSE_MS
) -> dict:
    """Like ota.check_and_update(), but lets other tasks run after each step.

    Args:
        progress, url: as there.
        pause_ms: milliseconds to sleep while no data has arrived.
    """
    try:
        return await _run(progress, url, pause_ms)
    except MemoryError:
        raise StateError("memory")
    except OtaError as e:
        return load("state.failure").answer(device.get(), e)


async def _run(progress, url, pause_ms):
    feed = device.get().feed
    # The event loop waits for the network, not the generator.
    work = steps(url, poll_ms=0)
    try:
        while True:
            try:
                step = next(work)
            except StopIteration as e:
                return e.value
            feed()
            if step is not None and progress:
                progress(*step)
            await asyncio.sleep(0 if step is not None else pause_ms / 1000)
    finally:
        work.close()  # a cancelled task closes its connection now


async def watch(
    progress: "Progress | None" = None,
    url: str | list | None = None,
    failed: "Callable | None" = None,
) -> dict:
    """Check for updates as config "poll" says, until one is ready; then the application restarts.

    No server is asked while the running image is on trial. After a failure the next check comes
    after a growing pause, and not before the time a server asked for (Retry-After).

    Args:
        progress, url: as in ota.check_and_update().
        failed: failed(error) is called with every OtaError or MemoryError.
    Returns:
        As ota.check_and_update(), with "ready".
    Raises:
        FlashError: "config", at once, if "poll" is invalid.
    """
    poll = device.get().config.get("poll", {})
    load("config").check_poll(poll)
    schedule.closed_s(poll, 0, random_bytes)  # reject an invalid window now, not at night
    failures = wish = 0
    await _sleep(schedule.first_s(poll, random_bytes))
    while True:
        closed = schedule.closed_s(poll, clock.now(True), random_bytes)
        if closed:
            await _sleep(closed)
            continue
        try:
            done = await _run(progress, url, _PAUSE_MS)
            if done["result"] == "ready":
                return done
            failures = 1 if done["result"] == "trial" else 0  # soon again, once it is confirmed
            wish = 0
        except (OtaError, MemoryError) as e:  # beside an application memory may be short now
            failures += 1
            wish = e.args[1] if e.args[:1] == ("later",) else 0
            if failed:
                failed(e)
        await _sleep(max(schedule.next_s(poll, random_bytes, failures), wish))


async def _sleep(seconds):
    while seconds > 0:
        if device.current:
            device.current.feed()
        part = min(seconds, _LONGEST_S)
        await asyncio.sleep(part)
        seconds -= part
