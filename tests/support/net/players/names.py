"""A name server that follows a script, and how many files are open; both interpreters."""

import os

_SOCKET = 1  # SOL_SOCKET of Linux, which MicroPython knows by number only
_RECEIVE = 8  # SO_RCVBUF


class Names:
    """The socket module with other answers to lookups: answers[i] is the one to the i-th.

    An answer is a number: 0 for what the system says, a port that the name leads to instead
    of the one asked for, or an error below zero; or a list of them, one address each. After
    the last, the system answers. window: bytes that the system takes in for a connection
    before anybody reads them; 0: as many as it likes.
    """

    def __init__(self, network, answers, window=0):
        self._network = network
        self._answers = list(answers)
        self._window = window
        self.SOCK_STREAM = network.SOCK_STREAM

    def socket(self, family, kind, protocol):
        s = self._network.socket(family, kind, protocol)
        if self._window:
            s.setsockopt(_SOCKET, _RECEIVE, self._window)
        return s

    def getaddrinfo(self, host, port, family, kind):
        answer = self._answers.pop(0) if self._answers else 0
        out = []
        for p in answer if isinstance(answer, list) else [answer]:
            if p < 0:
                raise OSError(p)
            found = self._network.getaddrinfo(host, p or port, family, kind)
            out += found if p == 0 else found[:1]
        return out


def open_files() -> int:
    """Open files of this process, sockets too. Linux only: elsewhere nothing is counted."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
