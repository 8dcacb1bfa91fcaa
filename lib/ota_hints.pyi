"""Names for the type hints of ota, for editors and type checkers; devices do not have this file.

MicroPython has no typing module and drops hints when it compiles, so modules name these in quotes
and import them under `if False:`, which leaves nothing in their code.
"""

import ssl
from collections.abc import Callable as Callable
from collections.abc import Generator, Iterable
from typing import Any as Any
from typing import Protocol, TypeAlias

from ota.crypto import Keys as Keys
from ota.delta.full import Full
from ota.delta.patch import Patch
from ota.device import Device as Device
from ota.errors import OtaError as OtaError
from ota.flash import Region as Region
from ota.kv import Store as Store
from ota.kv.full import KV as KV
from ota.kv.log import Log as Log
from ota.kv.ring import Ring as Ring
from ota.manifest import Choice as Choice
from ota.package import Header as Header
from ota.package.chunks import Chunks as Chunks
from ota.package.inflate import Inflater as Inflater
from ota.partition import Partitions as Partitions
from ota.state.record import Image as Image
from ota.state.record import Record as Record
from ota.strategy.staging import Plan as Plan
from ota.transport.http import Kept as Kept
from ota.transport.wire import Limits as Limits
from ota.transport.wire import Wire as Wire

Buffer: TypeAlias = bytes | bytearray | memoryview
Writable: TypeAlias = bytearray | memoryview
Decoder: TypeAlias = Full | Patch
Progress: TypeAlias = Callable[[str, int, int], object]  # stage, bytes done, bytes in total
Steps: TypeAlias = Generator[Any, None, Any]  # of progress, or of None while it waits
Parts: TypeAlias = Iterable[Buffer | tuple[int, int]]  # bytes, or (offset, length) on flash
Context: TypeAlias = ssl.SSLContext | None

class Reader(Protocol):
    """What package.chunks reads from."""

    def readinto(self, buf: Any) -> int | None: ...

class Base(Protocol):
    """What a patch reads its old image from, such as a Region."""

    def read(self, offset: int, buf: Any) -> None: ...

class Facts(Protocol):
    """What decides about a manifest, such as a Device."""

    product: str
    component: str
    in_place: bool
    device_id: bytes

class Verifier(Protocol):
    """Trusted keys, such as crypto.Keys."""

    def __contains__(self, ident: object) -> bool: ...
    def verify(self, ident: Buffer, message: Buffer, signature: Buffer) -> None: ...

class Source(Protocol):
    """Where updates come from: docs/api.md, "Sources"."""

    def check(self) -> Steps: ...
    def open(self, url: str, size: int | None = None) -> Callable[[int], Steps]: ...
    def report(self, stage: str, detail: int) -> None: ...
    def close(self) -> None: ...

class Strategy(Protocol):
    """A module of ota.strategy."""

    def install(
        self,
        device: Device,
        record: Record,
        head: Buffer,
        header: Header,
        open_at: Callable[[int], Steps],
    ) -> Steps: ...
    def apply(self, device: Device, record: Record, header: Header | None) -> Steps: ...
    def back(self, device: Device, record: Record) -> Steps: ...
    def reversible(self, device: Device, record: Record) -> bool: ...

class Watchdog(Protocol):
    """Such as machine.WDT."""

    def feed(self) -> None: ...

class Driver(Protocol):
    """A flash driver: docs/api.md, "Flash drivers"."""

    size: int
    sector_size: int
    program_size: int

    def read(self, offset: int, buf: Writable) -> None: ...
    def program(self, offset: int, data: Buffer) -> None: ...
    def erase(self, offset: int, length: int) -> None: ...
