"""What the codes of the library mean, in a sentence each: the table of docs/errors.md."""

from collections.abc import Sequence

from ota import errors
from ota.errors import OtaError

MEANINGS = {
    10: "no connection to any address",
    11: "the name has no address",
    12: "TLS handshake failed, certificate rejected, or no CA to verify it",
    13: "nothing arrived in time",
    14: "below the minimum rate",
    15: "connection lost",
    16: "ended before it was complete",
    17: "the server answered with an HTTP error; the status follows",
    18: "the server's answer is not valid HTTP/1.x",
    19: "a header line or the whole header is too long, or it has too many lines",
    20: "too many redirects, or an invalid one",
    21: "redirect from https to http",
    22: "a content encoding that was not requested",
    23: "the answer does not match the requested range",
    24: "the file on the server has changed",
    25: "the length differs from the one announced",
    26: "not a valid address",
    27: "cancelled by the caller",
    28: "no progress after all retries",
    29: "the server asks us to wait longer than a call may take; the seconds follow",
    40: "not a manifest (a login page?)",
    41: "unknown format version",
    42: "has a critical field that this library does not know",
    43: "a field is missing, duplicated or out of range",
    44: "too large, or inconsistent lengths",
    45: "not a package",
    50: "made with one of our keys, but the signature is wrong",
    51: "not signed by any key of ours",
    52: "reserved",
    55: "for another product",
    56: "for another component",
    57: "package and manifest disagree",
    58: "manifest older than one accepted before",
    59: "the manifest has expired",
    60: "security version below the minimum of this device",
    61: "patch for an image other than the running one",
    62: "does not fit slot or OTA partition",
    63: "the block size does not suit the sectors of this flash",
    64: "needs a deflate window, block, .mpy version or pointer filter that this board does not "
    "support",
    65: "not for this strategy: an in-place patch for another one, or an ordinary patch for "
    "inplace",
    66: "was rolled back, or rejected at a boot, on this device before",
    67: "reserved",
    68: "manifest of another channel",
    69: "not newer than the running version, and no downgrade was requested",
    75: "image or package differs from the signed one",
    76: "a chunk does not match the hash chain",
    77: "invalid lengths or numbers in a chunk",
    78: "damaged deflate stream",
    79: "damaged patch stream",
    80: "a block reads bytes that have been overwritten",
    81: "the staged package is incomplete",
    85: "outside the device or partition",
    86: "not aligned to a sector or program unit",
    87: "the driver reported an error",
    88: "read-back differs from what was programmed",
    89: "the KV store is full",
    90: "unreadable record",
    91: "journal too small, or inconsistent with the flash",
    92: "layout or configuration is wrong; the name follows",
    93: "ambiguous mode in the partition table",
    94: "partitions overlap",
    95: "no partition table found",
    96: "wrong checksum in the partition table",
    97: "erased flash does not read as 0xFF (encrypted, or an unusual type)",
    100: "not allowed in this state",
    101: "the running image is not confirmed yet",
    102: "reserved",
    103: "no image in the slot",
    104: "no image may run",
    105: "all tries of an unconfirmed image are used up",
    106: "the application ended with an exception on trial",
    107: "no confirm() in time on trial",
    108: "rolled back on request",
    109: "no image to return to",
    110: "the factory image was restored on request",
    111: "out of memory; nothing was lost",
    112: "the image could not be mounted",
    113: "the image has no module to start",
    114: "the board failed before the application's first line",
}

# How the numbers that come with a refusal read; every other detail follows as it is.
_DETAILS = {
    "fit": "{} bytes, and there is room for {}",
    "floor": "{}; at least {} is required",
    "sequence": "{}; {} was accepted before",
    "length": "{} bytes; {} were announced",
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
