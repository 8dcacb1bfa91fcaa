"""A virtual MicroPython board with memory-mapped NOR flash, for trying updates on a desk."""

from . import chip, firmware, posix
from .chip import create
from .launcher import Board

__all__ = ["Board", "chip", "create", "firmware", "posix"]
