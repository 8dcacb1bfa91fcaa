"""Searches for several patches at once, on all processors.

A search takes one processor and some 400 bytes of memory for each byte of image.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

from . import find
from .payload import PatchWriter


class Search(NamedTuple):
    """A patch to search for; the fields are arguments of find.best()."""

    old: bytes
    new: bytes
    block: int = 4096
    in_place: bool = False
    quick: bool = False
    spare: int = 0


def run(
    searches: Sequence[Search],
    progress: Callable[[float], None] | None = None,
    jobs: int | None = 1,
) -> list[PatchWriter]:
    """The patches found, in turn.

    Args:
        progress: called with the part that is done, 0 to 1.
        jobs: maximum number that run at a time; None: one for each processor. More than one are
            processes of their own: where the system spawns those (macOS, Windows), a script needs
            its `if __name__ == "__main__"`.
    """
    # Whether in place or not, the copies are the same.
    wanted = list(dict.fromkeys((s.old, s.new, s.block, s.quick) for s in searches))
    found = dict(zip(wanted, _found(wanted, progress, jobs or os.cpu_count() or 1), strict=True))
    return [
        find.write(
            found[s.old, s.new, s.block, s.quick],
            s.old, s.new, s.block, s.in_place, None, s.spare,
        )
        for s in searches
    ]  # fmt: skip


def _found(wanted, progress, jobs):
    if min(len(wanted), jobs) < 2:
        return [find.find(*each, _part(progress, i, len(wanted))) for i, each in enumerate(wanted)]
    # Large ones first: what is left for the end is short.
    order = sorted(range(len(wanted)), key=lambda i: -len(wanted[i][1]))
    with ProcessPoolExecutor(min(len(wanted), jobs)) as pool:
        futures = {i: pool.submit(find.find, *wanted[i]) for i in order}
        for n, _ in enumerate(as_completed(futures.values()), 1):
            if progress:
                progress(n / len(wanted))
    return [futures[i].result() for i in range(len(wanted))]


def _part(progress, i, count):
    return None if progress is None else lambda part: progress((i + part) / count)
