"""Ctrl-C on the virtual board while a callback of a timer runs: it waits, and is not forgotten,
whatever the process sees at which moment."""

import os
import threading
from types import SimpleNamespace

import pytest
from otatool.sim import child
from otatool.sim.board import _control as c

_MOMENTS = range(1, 18)  # looks of more than two rounds


class _Words(list):
    """The control page. A callback ends, and sets another word, between two looks at it."""

    def __init__(self, moment, last=None):
        super().__init__([0] * 64)
        self._looks, self._last = moment, last
        self[c.W_TICKING] = c.RUNS

    def __getitem__(self, word):
        self._looks -= 1
        if self._looks == 0:
            if self._last is not None:
                self[self._last] = 1
            self[c.W_TICKING] = c.IDLE
        return super().__getitem__(word)


class _Served(Exception):
    pass


class _Interrupts(child.Interrupts):
    def __init__(self, words, ear):
        self._words, self._ear, self._pending = words, ear, SimpleNamespace(value=0)

    def _interrupt(self):
        raise _Served

    def serve(self):
        """run(), until it interrupts."""
        try:
            self.run()
        except _Served:
            pass


def _is_served(words, ring):
    ear, bell = os.pipe()
    serve = threading.Thread(target=_Interrupts(words, ear).serve, daemon=True)
    serve.start()
    if ring:
        os.write(bell, b"\0")
    serve.join(5)
    if serve.is_alive():
        return False  # and it sleeps on, with its pipe
    os.close(bell)
    os.close(ear)
    return True


@pytest.mark.parametrize("moment", _MOMENTS)
def test_ctrl_c_waits_for_the_end_of_a_callback(moment):
    words = _Words(moment)
    words[c.W_INTERRUPT] = c.ASKED
    assert _is_served(words, ring=True)


@pytest.mark.parametrize("moment", _MOMENTS)
def test_ctrl_c_that_a_callback_took_is_passed_on(moment):
    assert _is_served(_Words(moment, c.W_AGAIN), ring=False)
