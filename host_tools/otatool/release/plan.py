"""What is published, and what earlier releases ask of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from ota.package import version as parse_version

from ..errors import ToolError
from ..terminal.values import WHOLE
from . import package
from .history import History


@dataclass
class Release:
    """What is published.

    Attributes:
        floor: security version; None: that of the release before.
        channel: devices of other channels ask elsewhere.
        last: how many older versions get deltas.
        in_place: also deltas for devices with one slot.
        block: output block, bytes.
        expires: of the manifest, Unix seconds; 0: never.
        spare: bytes of flash for a stash that devices with one slot have.
        mpy: of package.Meta; 0: what the image needs.
        rollout: share of the fleet in ten-thousandths; the others are offered the last release
            that went to all.
        windows: wbits of package.package().
        quick: see find.plan().
        jobs: searches at a time, see jobs.run().
        slot: bytes of the devices' slots, to warn of an image that outgrows them; 0: what an
            earlier release said.
    """

    product: str
    version: str
    target: str = "app"
    floor: int | None = None
    channel: str = "stable"
    last: int = 3
    in_place: bool = True
    block: int = package.BLOCK
    expires: int = 0
    spare: int = 0
    mpy: int = 0
    rollout: int = WHOLE
    windows: Sequence[int] = package.WINDOWS
    quick: bool = False
    jobs: int | None = 1
    slot: int = 0


@dataclass
class Plan:
    """What the history asks of a release.

    Attributes:
        sequence: of the manifest.
        first: of the manifest that named these packages first: they keep it when a later one names
            them again, so that what caches and devices have of them stays right.
        again: row of the same release, published before.
        bases: (row, image) of the older releases that get deltas, the newest first.
    """

    floor: int
    sequence: int
    first: int
    again: dict | None
    bases: list[tuple[dict, bytes]]


def look_back(past: History, release: Release, image: bytes) -> Plan:
    """What follows from earlier releases.

    Raises:
        ToolError: the version is not newer than the last one, or the floor lower.
    """
    older = past.of(release.target)
    floor = release.floor
    if floor is None:
        floor = older[-1]["floor"] if older else 0
    number = parse_version(release.version)
    again = None
    if older and parse_version(older[-1]["version"]) == number and past.image(older[-1]) == image:
        again = older.pop()
    if older and parse_version(older[-1]["version"]) >= number:
        raise ToolError(f"version {release.version} is not newer than {older[-1]['version']}")
    if older and floor < older[-1]["floor"]:
        raise ToolError(
            f"floor {floor} is below {older[-1]['floor']}, that of {older[-1]['version']}: "
            "devices that confirmed it reject this one"
        )
    sequence = past.sequence + 1
    first = again.get("sequence", sequence) if again else sequence
    bases = older[: -release.last - 1 : -1] if release.last else []
    return Plan(floor, sequence, first, again, [(r, past.image(r)) for r in bases])
