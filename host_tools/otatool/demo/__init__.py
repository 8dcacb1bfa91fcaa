"""The whole story of an update, played with a real application on the virtual board."""

from .story import HEAP, Result, play

__all__ = ["HEAP", "Result", "play"]
