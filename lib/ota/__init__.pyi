"""Types of the public face, for editors and type checkers; devices do not need this file.

A stub, because MicroPython has no typing module. tests/host/test_typed.py compares it with the
functions.
"""

from collections.abc import Callable, Generator, Iterable
from typing import Any, Literal, Protocol, TypeAlias, TypedDict

from typing_extensions import NotRequired

# An application catches ota.errors.OtaError; what raises it has imported it.
from . import errors as errors

_Buffer: TypeAlias = bytes | bytearray | memoryview
_Step: TypeAlias = tuple[str, int, int]  # stage, bytes done, bytes in total
_Progress: TypeAlias = Callable[[str, int, int], object]

class _Result(TypedDict):
    result: Literal["none", "ready", "later", "trial"]
    version: str
    size: NotRequired[int]  # "ready": bytes of the package
    delta: NotRequired[bool]
    reason: NotRequired[str]  # "later"
    error: NotRequired[errors.TransportError]

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
    checked: float | None
    product: str
    channel: str
    strategy: str

class _Watchdog(Protocol):
    def feed(self) -> object: ...

class _ReadInto(Protocol):
    def readinto(self, buf: memoryview, /) -> int | None: ...

class _Read(Protocol):
    def read(self, n: int, /) -> bytes | None: ...

class _Write(Protocol):
    def write(self, data: memoryview, /) -> object: ...

class _Store(Protocol):
    def get(self, key: str) -> bytes | None: ...
    def readinto(self, key: str, buf: bytearray | memoryview, offset: int = 0) -> int: ...
    def set(self, key: str, value: _Buffer) -> None: ...
    def delete(self, key: str) -> None: ...
    def batch(self, pairs: Iterable[tuple[str, _Buffer | None]]) -> None: ...
    def keys(self) -> list[str]: ...
    def items(self) -> Iterable[tuple[str, bytes]]: ...
    def sync(self) -> None: ...

def configure(config: dict[str, Any] | str, watchdog: _Watchdog | None = None) -> None: ...
def check_and_update(
    progress: _Progress | None = None,
    reset: bool = False,
    url: str | list[str] | None = None,
) -> _Result: ...
def steps(
    url: str | list[str] | None = None, **options: Any
) -> Generator[_Step | None, None, _Result]: ...
def install_url(
    url: str | None = None,
    reset: bool = False,
    progress: _Progress | None = None,
    downgrade: bool = False,
) -> _Result: ...
def install(
    reader: _ReadInto | _Read,
    reset: bool = False,
    progress: _Progress | None = None,
    downgrade: bool = False,
) -> _Result: ...
def fetch(url: str, file: str | _Write, progress: _Progress | None = None) -> int: ...
def confirm() -> bool: ...
def rollback(reset: bool = True) -> None: ...
def restore(forget: bool = False, reset: bool = True) -> None: ...
def status() -> _Status: ...
def store() -> _Store: ...
def partitions() -> None: ...
