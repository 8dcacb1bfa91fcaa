"""How fast a download reaches the flash, beside the loop that nobody can do without.

    python bench/throughput.py [--requests FOLDER] [--size KB]

Real MicroPython, one server on loopback that sends as fast as it can; flash is the mock of the
tests, which checks every program, or as fast as memory. bare: a blocking socket, readinto and
program by sectors. reader: the library's downloader (non-blocking, limits, resume) with the same
loop. staged: a whole install of a full package (signature, SHA-256 of everything twice, journal).
requests: micropython-lib's, if FOLDER has it. Medians of nine rounds that alternate, as multiples
of bare.
"""

import argparse
import random
import socket
import statistics
import subprocess
import sys
import threading
from pathlib import Path

_ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(_ROOT / "tests"))
import folders  # noqa: E402

folders.add()

from images import KEY, PRODUCT  # noqa: E402
from otatool.release import package as build  # noqa: E402
from otatool.release.keys import SigningKey  # noqa: E402


def serve(data: bytes) -> int:
    """Port of a server that answers every request with data."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(data)
    listening = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            connection, _ = listening.accept()
            with connection:
                asked = b""
                while b"\r\n\r\n" not in asked:
                    asked += connection.recv(1024)
                connection.sendall(head + data)

    threading.Thread(target=run, daemon=True).start()
    return listening.getsockname()[1]


def main() -> None:
    """Print the table."""
    p = argparse.ArgumentParser()
    p.add_argument("--requests", default="-", help="folder with micropython-lib's requests")
    p.add_argument("--size", type=int, default=4000, help="of the image, KB")
    args = p.parse_args()
    meta = build.Meta(PRODUCT, "0.2")
    data = random.Random(1).randbytes(args.size << 10)  # does not deflate: as much as can come
    package = build.full(data, meta, [SigningKey(bytes.fromhex(KEY["secret"]))]).data
    url = f"http://127.0.0.1:{serve(package)}/full.ota"
    micropython = Path(sys.executable).parent / "micropython"
    print(f"package of {len(package)} bytes")
    for flash in ("mock", "memory"):
        run = subprocess.run(
            [micropython, "-X", "heapsize=128M", Path(__file__).with_name("throughput_board.py"),
             _ROOT / "lib", _ROOT / "tests", args.requests, url, str(len(package)),
             str(len(data)), flash],
            capture_output=True, text=True,
        )  # fmt: skip
        if run.returncode or "Error" in run.stdout + run.stderr:
            raise SystemExit(run.stdout + run.stderr)
        times: dict[str, list[int]] = {}
        for line in run.stdout.splitlines():
            way, spent = line.split()
            times.setdefault(way, []).append(int(spent))
        floor = statistics.median(times["bare"])
        for way, all_spent in times.items():
            spent = statistics.median(all_spent)
            rate = len(package) / spent * 1000
            print(f"{flash:7} {way:9} {rate:7.1f} MB/s {spent / floor:6.2f} x bare", flush=True)


if __name__ == "__main__":
    main()
