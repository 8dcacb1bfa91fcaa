"""The partition table as the TobudOS bootloader prints it."""

if False:  # for type checkers
    from ota_hints import Partitions

# As the bootloader of the TobudOS guide prints them.
_LABELS = {"active": "Active APP", "backup": "  Backup", "ota": "   OTA", "kv": "   KV"}


def text(partitions: "Partitions") -> list:
    """Lines of a box as the TobudOS bootloader prints it, with sizes in bytes; a column
    names the device if there are several."""
    labels = [_LABELS.get(name, name) for name in partitions.names()]
    width = max([10] + [len(label) for label in labels])
    many = len(partitions.devices) > 1
    rows = []
    for label, (name, region) in zip(labels, partitions.items()):
        device, address = place(partitions, name)
        row = "|%s |  0x%08x |%10d |" % (_pad(label, width), address, region.size)
        rows.append(row + (" %s |" % _pad(device, 8) if many else ""))
    if partitions.version:
        row = "|%s |      %s|%s|" % (
            _pad(" Version", width),
            _pad(partitions.version, 7),
            " " * 11,
        )
        rows.append(row + (" " * 10 + "|" if many else ""))
    edge = "+" + "-" * (len(rows[0]) - 2 if rows else width) + "+"
    return [edge] + rows + [edge]


def place(partitions: "Partitions", name: str) -> tuple:
    """(device name or "", address) of a partition; the address is absolute where the device
    has a base. Raises FlashError "config" if there is no such partition."""
    region = partitions.get(name)
    for device, (driver, base) in partitions.devices.items():
        if driver is region.driver:
            return device, (base or 0) + region.offset
    return "", region.offset


def _pad(label, width):
    return label + " " * (width - len(label))
