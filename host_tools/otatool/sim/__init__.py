"""A virtual MicroPython board with memory-mapped NOR flash, for trying updates on a desk."""

from .chip import create
from .launcher import Board

__all__ = ["Board", "create"]
