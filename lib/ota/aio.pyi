"""Types of ota.aio, as those of the face."""

from collections.abc import Callable

from . import _Progress, _Result
from .errors import OtaError

async def check_and_update(
    progress: _Progress | None = None,
    url: str | list[str] | None = None,
    pause_ms: int = 5,
) -> _Result: ...
async def watch(
    progress: _Progress | None = None,
    url: str | list[str] | None = None,
    failed: Callable[[OtaError | MemoryError], object] | None = None,
) -> _Result: ...
