"""The connection that one request leaves to the next: at most one, and only to the same place."""


class Kept:
    """Holds a connection between two requests; given to http.get as `kept`.

    RFC 9112 section 9: a response that was read to its end leaves its connection usable unless
    one side said "close".
    """

    def __init__(self):
        self._wire = None
        self._place = None

    def take(self, place):
        """The Wire that was given for place, or None; any other one is closed.

        A peer that closed meanwhile, or that said more than it was asked for, is not believed.
        """
        if self._wire and not (self._place == place and self._wire.silent()):
            self.close()
        wire, self._wire = self._wire, None
        return wire

    def give(self, wire, place) -> None:
        """Keep the Wire of a connection to place, (scheme, host, port)."""
        self.close()
        self._wire, self._place = wire, place

    def close(self) -> None:
        """Close what is kept; may be called more than once."""
        if self._wire:
            self._wire.close()
            self._wire = None
