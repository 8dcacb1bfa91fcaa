"""The check of what the library uses of a port's modules finds what a port does not have."""

import chip_types
import pytest

_MACHINE = """
from typing import Any, Callable
class Pin:
    IN: int
    PULL_UP: int
    PULL_DOWN: int
    def __init__(self, id: Any, mode: int = ..., pull: int = ...) -> None: ...
    def value(self) -> int: ...
class RTC:
    def datetime(self, given: tuple = ...) -> tuple: ...
Timer: Any
WDT: Any
PWRON_RESET: int
def reset() -> None: ...
def unique_id() -> bytes: ...
"""
_FLASH = """
class Flash:
    def ioctl(self, op: int, arg: int) -> int | None: ...
    def readblocks(self, n: int, buf: object, at: int = ..., /) -> int | None: ...
    def writeblocks(self, n: int, buf: object, at: int = ..., /) -> int | None: ...
"""


@pytest.fixture
def stubs(tmp_path):
    (tmp_path / "machine.pyi").write_text(_MACHINE)
    (tmp_path / "rp2.pyi").write_text(_FLASH)
    return tmp_path


def test_what_a_port_has_is_no_error(stubs):
    count, found = chip_types.check("rp2", stubs)
    assert count >= 20
    assert not found


def test_what_a_port_does_not_have_is_found(stubs):
    (stubs / "machine.pyi").write_text(_MACHINE.replace("def unique_id", "def unique"))
    (stubs / "rp2.pyi").write_text(
        _FLASH.replace("writeblocks(self, n: int", "writeblocks(self, n: str")
    )
    found = "\n".join(chip_types.check("rp2", stubs)[1])
    assert "ota/device.py" in found and '"unique_id"' in found
    assert "ota/flash/blockdev.py" in found and '"writeblocks"' in found
    assert len(found.splitlines()) == 2
