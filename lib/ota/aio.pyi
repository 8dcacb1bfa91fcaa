# For editors and mypy only; a board never sees it. tests/host/test_stubs.py compares it.
from collections.abc import Callable

from . import _Done, _Progress

async def check_and_update(
    progress: _Progress | None = None, url: str | list[str] | None = None, pause_ms: int = 5
) -> _Done: ...
async def watch(
    progress: _Progress | None = None,
    url: str | list[str] | None = None,
    failed: Callable[[Exception], object] | None = None,
) -> _Done: ...
