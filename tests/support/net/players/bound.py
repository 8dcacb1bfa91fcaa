"""Update over TLS on a board that does not know the time, and print what its clock was set to.

    micropython -X heapsize=8M tests/support/net/players/bound.py MANIFEST-URL CA-FILE

The clock of the board is one that only machine.RTC sets; TLS itself sees that of the system.
Prints JSON: "asked", a list of (result or error, what the clock was set to) of one request each:
an update; the same again after a restart; the same with "built" in the configuration, for the
first day of 2026; with a time server that does not answer.
"""

import json
import sys
import time

_HERE = __file__.rpartition("/")[0] or "."
_NEW_YEAR_2026 = 1767225600
_GMTIME = time.gmtime

sys.path.insert(0, _HERE + "/../../..")
import folders  # noqa: E402

folders.add()

import ota  # noqa: E402
import scenes  # noqa: E402
from ota import clock  # noqa: E402


class Board:
    """Its time module, its machine module, and an ntptime that gets no answer."""

    def __init__(self):
        self.said = 0
        self.dates = []

    def time(self):
        return self.said

    def gmtime(self, seconds):
        return _GMTIME(seconds)

    def RTC(self):
        return self

    def datetime(self, t):
        self.dates.append(list(t))
        self.said = clock.since(9) if t[0] == 2025 else _NEW_YEAR_2026

    def settime(self):
        raise OSError(110)


def ask(board):
    """One request after a restart that lost the time."""
    clock._guess = None
    board.said = 0
    board.dates = []
    done = ota.check_and_update()
    done = done["result"] if done["result"] != "later" else list(done["error"].args)
    return done, board.dates


def main(url, ca):
    """Play it."""
    board = clock.time = sys.modules["machine"] = sys.modules["ntptime"] = Board()
    rig = scenes.blank("ab")
    rig.config["url"] = url
    tls = {"ca": ca}
    rig.config["http"] = {"tls": tls}
    rig.boot()
    asked = [ask(board)]
    rig.boot()
    ota.confirm()
    rig.boot()
    asked.append(ask(board))
    tls["built"] = _NEW_YEAR_2026
    asked.append(ask(board))
    tls["ntp"] = "nobody"
    asked.append(ask(board))
    print(json.dumps({"asked": asked, "month": rig.device.slots.load().month, "tls": tls}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
