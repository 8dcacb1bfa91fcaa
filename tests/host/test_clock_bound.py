"""A board that does not know the time learns from its newest manifest, over real TLS."""

import json
import subprocess
import sys
from pathlib import Path

import certificates
import network_faults
import pytest
from fault_server import FaultServer
from ota import clock

_PLAYER = Path(__file__).parents[1] / "support" / "net" / "players" / "bound.py"
_COMMANDS = {
    "CPython": [sys.executable],
    "MicroPython": [Path(sys.executable).parent / "micropython", "-X", "heapsize=8M"],
}


@pytest.mark.parametrize("interpreter", _COMMANDS)
def test_the_next_request_goes_by_the_month_of_the_last_manifest(interpreter, tmp_path):
    pki = certificates.make(tmp_path)
    manifest = network_faults.signed(issued=clock.since(9) + 86400)
    pages = {
        "/manifest": network_faults.served(manifest),
        "/package": network_faults.served(network_faults.PACKAGE),
    }
    with FaultServer(pages, certificate=pki.good) as server:
        done = subprocess.run(
            [*_COMMANDS[interpreter], _PLAYER, server.url + "/manifest",
             pki.ca],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["month"] == 9
    assert said["asked"] == [
        # Nothing is known: the certificate is checked against what the clock says.
        ["ready", []],
        ["none", [[2025, 9, 28, 7, 0, 0, 0, 0]]],
        # The later one counts.
        ["none", [[2026, 1, 1, 4, 0, 0, 0, 0]]],
        [["tls", "clock"], []],
    ]
    # What the board found out is not written into its configuration.
    assert said["tls"] == {"ca": str(pki.ca), "built": 1767225600, "ntp": "nobody"}
