"""What the codes of the library mean, in a sentence each: the table of docs/errors.md."""

from collections.abc import Sequence

from ota import errors
from ota.errors import OtaError

MEANINGS = {
    10: "no connection to any address",
    11: "the name has no address",
    12: "handshake or certificate refused, or no CA to check with",
    13: "nothing came in time",
    14: "below the minimum rate",
    15: "connection broken",
    16: "ended before it was whole",
    17: "HTTP status that is no success; the status follows",
    18: "the server does not speak HTTP/1.x as it should",
    19: "header line, block or number of headers too large",
    20: "too many redirects, or one that leads nowhere",
    21: "redirect from https to http",
    22: "a content encoding that was not asked for",
    23: "answer to a range request does not fit it",
    24: "the file on the server is another one now",
    25: "length differs from what was announced",
    26: "not an address that can be asked",
    27: "stopped by the caller",
    28: "no progress after all retries",
    29: "the server asks to wait longer than a call may take; the seconds follow",
    40: "no manifest at all (a login page?)",
    41: "unknown version of the format",
    42: "has a critical field this library does not know",
    43: "a field is missing, doubled, or out of range",
    44: "too large, or lengths that do not fit",
    45: "not a package",
    50: "by a key of ours, but it does not fit",
    51: "not signed by any key of ours",
    52: "reserved",
    55: "for another product",
    56: "for another component",
    57: "package and manifest disagree",
    58: "manifest older than one accepted before",
    59: "manifest past its date",
    60: "security version below what this device accepts",
    61: "patch for another image than the one that runs",
    62: "does not fit slot or OTA partition",
    63: "blocks do not fit the sectors of this flash",
    64: "window or .mpy version this board cannot do",
    65: "not for this strategy (a patch that is not in place, or the other way round)",
    66: "was rolled back, or refused at a boot, here before",
    67: "reserved",
    68: "manifest of another channel",
    69: "not newer than the running version, and no downgrade was asked for",
    75: "image or package is not the one that was signed",
    76: "a chunk is not ours",
    77: "lengths or numbers of a chunk do not fit",
    78: "broken deflate stream",
    79: "broken patch stream",
    80: "a block reads what is overwritten already",
    81: "the staged package is not whole",
    85: "outside the device or partition",
    86: "not on a sector or program unit",
    87: "the driver reports an error",
    88: "read back differs from what was programmed",
    89: "no room in the KV store",
    90: "a record that cannot be read",
    91: "journal too small, or it contradicts the flash",
    92: "layout or configuration is wrong; the name follows",
    93: "partition table of an unclear mode",
    94: "partitions share bytes",
    95: "no partition table there",
    96: "checksum of the partition table",
    97: "erased flash does not read as 0xFF (encrypted, or of another kind)",
    100: "not in this state",
    101: "the running image is not confirmed yet",
    102: "reserved",
    103: "no image in the slot",
    104: "no image may run",
    105: "all tries of an unconfirmed image used up",
    106: "the application ended with an exception on trial",
    107: "no confirm() in time on trial",
    108: "rolled back on request",
    109: "nothing to go back to",
    110: "the factory image was put back on request",
    111: "memory ran out; nothing was lost",
    112: "the image could not be mounted",
    113: "the image has no module to start",
    114: "the board failed before the application's first line",
}

# How the numbers that come with a refusal read; every other detail follows as it is.
_DETAILS = {
    "fit": "{} bytes, and there is room for {}",
    "floor": "{}, and at least {} is asked for",
    "sequence": "{}, and {} was accepted before",
    "length": "{} bytes, and {} were announced",
    "short": "{} of {} bytes",
}


def of(code: int) -> str:
    """The sentence of a code; "" for one that is not known here: the board's library is newer."""
    return MEANINGS.get(code, "")


def sentence(kind: str, word: str, code: int, details: Sequence[object] = ()) -> str:
    """All about an error in one line, such as "fit (code 62, PolicyError): does not fit ...".

    kind: name of its class. word, code: as OtaError has them. details: what else came with it.
    """
    texts = [str(d) for d in details if str(d)]
    form = _DETAILS.get(word, "")
    rest = form.format(*texts) if form and form.count("{}") == len(texts) else ", ".join(texts)
    return ": ".join(x for x in (f"{word} (code {code}, {kind})", of(code), rest) if x)


def explain(e: OtaError) -> str:
    """sentence() of an error of the library."""
    return sentence(type(e).__name__, e.reason, e.code, e.args[1:])


def reason(code: int) -> str:
    """A code as a record keeps it, in words: "fit (62): does not fit ..."; "none" for 0."""
    if not code:
        return "none"
    word = errors.word(code) or "unknown"
    return ": ".join(x for x in (f"{word} ({code})", of(code)) if x)
