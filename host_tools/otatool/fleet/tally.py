"""What is counted while a fleet runs. Times are simulated seconds since the start."""

import array
from collections import Counter
from collections.abc import Iterable

SHARES = (50, 90, 99, 100)


class Tally:
    """Counts of all devices together.

    requests: by kind. "manifest", "package"; "unchanged" is a manifest answered with 304,
    "part" what continues after a complete part, "resumed" what continues after anything
    else, "redirect" what was answered with one. servers: all of them, by "host:port".
    body: bytes that came, by what was asked for; heads: bytes of the answers' heads.
    connections: how many there were; peak_connections: most at a time.
    failures: by what went wrong; given_up: how often a device left it until the next poll.
    answered: real seconds from each request to its answer's head.
    """

    def __init__(self) -> None:
        self.requests = Counter(manifest=0, unchanged=0, package=0, part=0, resumed=0, redirect=0)
        self.servers: Counter[str] = Counter()
        self.body = Counter(manifest=0, package=0)
        self.heads = 0
        self.failures: Counter[str] = Counter()
        self.given_up = 0
        self.answered = array.array("f")
        self.connections = 0
        self.peak_connections = 0
        self._open = 0
        self._seconds: Counter[int] = Counter()

    @property
    def peak_requests(self) -> int:
        """Most requests in one second."""
        return max(self._seconds.values(), default=0)

    def connecting(self) -> None:
        """A connection begins."""
        self.connections += 1
        self._open += 1
        self.peak_connections = max(self.peak_connections, self._open)

    def closed(self) -> None:
        """A connection has ended."""
        self._open -= 1

    def asked(self, kind: str, at: float, server: str) -> None:
        """A request went out."""
        self.requests[kind] += 1
        self.servers[server] += 1
        self._seconds[int(at)] += 1

    def was(self, kind: str, really: str) -> None:
        """The answer shows that a request of a kind is to be counted as another one."""
        self.requests[kind] -= 1
        self.requests[really] += 1


def until(times: Iterable[float], whole: int) -> dict[str, float | None]:
    """Seconds until a share of whole devices was done, by share in percent; None: not yet."""
    done = sorted(times)
    found: dict[str, float | None] = {}
    for share in SHARES:
        needed = -(-whole * share // 100)
        found[str(share)] = round(done[needed - 1], 3) if 0 < needed <= len(done) else None
    return found


def quantile(values: Iterable[float], part: float) -> float:
    """The value that a part (0 to 1) of all values does not exceed; 0 if there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
