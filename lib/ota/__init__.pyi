# For editors and mypy only; a board never sees it. tests/host/test_stubs.py compares it.
from collections.abc import Callable, Generator
from typing import Any, Literal, Protocol, TypedDict, type_check_only

@type_check_only
class _Done(TypedDict, total=False):
    result: Literal["none", "ready", "later", "trial"]
    version: str
    size: int
    delta: bool
    reason: str
    error: Exception

@type_check_only
class _Status(TypedDict):
    state: str
    version: str
    previous: str
    new: str
    slot: int
    tries: int
    reason: str
    code: int
    detail: str
    boot: str
    floor: int
    sequence: int
    month: int
    checked: int | None
    product: str
    channel: str
    strategy: str

@type_check_only
class _Watchdog(Protocol):
    def feed(self) -> object: ...

@type_check_only
class _Readinto(Protocol):
    def readinto(self, buf: memoryview, /) -> int | None: ...

@type_check_only
class _Read(Protocol):
    def read(self, n: int, /) -> bytes | None: ...

@type_check_only
class _Write(Protocol):
    def write(self, data: memoryview, /) -> object: ...

@type_check_only
class _Store(Protocol):
    def get(self, key: str, /) -> bytes | None: ...
    def set(self, key: str, value: bytes, /) -> None: ...
    def delete(self, key: str, /) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...

# Called with stage, done and total; the last two in bytes.
_Progress = Callable[[str, int, int], object]

def configure(config: dict[str, Any] | str, watchdog: _Watchdog | None = None) -> None: ...
def check_and_update(
    progress: _Progress | None = None, reset: bool = False, url: str | list[str] | None = None
) -> _Done: ...
def steps(
    url: str | list[str] | None = None, **options: Any
) -> Generator[tuple[str, int, int] | None, None, _Done]: ...
def install_url(
    url: str | None = None,
    reset: bool = False,
    progress: _Progress | None = None,
    downgrade: bool = False,
) -> _Done: ...
def install(
    reader: _Readinto | _Read,
    reset: bool = False,
    progress: _Progress | None = None,
    downgrade: bool = False,
) -> _Done: ...
def fetch(url: str, file: str | _Write, progress: _Progress | None = None) -> int: ...
def confirm() -> bool: ...
def rollback(reset: bool = True) -> None: ...
def restore(forget: bool = False, reset: bool = True) -> None: ...
def status() -> _Status: ...
def store() -> _Store: ...
def partitions() -> None: ...
