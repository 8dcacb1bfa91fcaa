"""No allocation above 4 KB once a TLS handshake has begun, on the virtual board.

When the first connection speaks TLS, all free memory of a large heap is cut into runs of 4096
bytes: whatever asks for more fails, and the whole update must work. What an update loads is
loaded before, as in frozen firmware: the table of names, which doubles when modules come from
.mpy files, does not grow there.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import memory  # noqa: E402
import share  # noqa: E402

# One large piece is cut up; all that is free beside it is filled before. The list is no chain: one
# of those might stay alive by what lies on the stack.
CUT = (
    share.FILLER
    + """
from ota.transport.sockets import Stream
inner = Stream.__init__
pieces = [None] * 200
large = said = done = None
def cut():
    global large, chain
    large = bytearray(500000)
    fill()
    gc.collect()
    fill()
    large = None
    gc.collect()
    for _ in range(64):  # in the holes that what was garbage left
        chain = (chain,)
    try:
        for i in range(len(pieces)):
            pieces[i] = bytearray(4064)
            chain = (chain,)
    except MemoryError:
        pass
    fill()
    for i in range(len(pieces)):
        pieces[i] = None
    gc.collect()
def fits(n):
    try:
        return len(bytearray(n)) == n
    except MemoryError:
        return False
def init(self, sock, context=None, host=None):
    global said
    if context and not said:
        cut()
        said = fits(4096), fits(4097), gc.mem_free() > 400000
    inner(self, sock, context, host)
Stream.__init__ = init
try:
    done = ota.check_and_update()['delta']
except MemoryError as e:
    done = str(e).replace(' ', '_')
chain = None
print('BENCH cut', *said, done if len(sys.modules) == count else 'modules')
"""
)


@pytest.mark.parametrize(
    "strategy",
    ["ab", *(pytest.param(s, marks=pytest.mark.long) for s in ("pingpong", "inplace"))],
)
def test_an_update_over_tls_needs_no_piece_above_4_kb(strategy, tmp_path):
    for pair, kinds in (
        (memory.images(), ("delta, TLS", "full, TLS")),
        (memory.code(fresh=0), ("delta, TLS",)),
    ):
        folder = tmp_path / str(len(kinds))
        folder.mkdir()
        with share.Share(folder, strategy, *pair) as bench:
            for kind in kinds:
                delta = str(kind.startswith("delta"))
                said = bench.play(kind, CUT, "cut")
                assert said == ["True", "False", "True", delta], (kind, said)
