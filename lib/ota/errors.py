"""All errors of the library, and the one list of their stable codes.

The class says what the caller should do next; the first argument is a fixed word from
the list below; further arguments are numbers or the cause. `code` is what a server or a
log keeps: it never changes its meaning. docs/errors.md explains every word.
"""

# One string instead of a dict: frozen, it costs no heap. Codes are grouped by class in
# tens and never reused.
_CODES = (
    # TransportError 10..39: try again later
    " connect:10 dns:11 tls:12 timeout:13 slow:14 reset:15 short:16 status:17 protocol:18"
    " headers:19 redirect:20 downgrade:21 encoding:22 range:23 changed:24 length:25 url:26"
    " cancelled:27 retries:28 later:29"
    # ManifestError 40..49, SignatureError 50..54: never install this one
    " manifest:40 format:41 critical:42 field:43 size:44 header:45"
    " signature:50 key:51 algorithm:52"
    # PolicyError 55..74
    " product:55 target:56 version:57 sequence:58 expired:59 floor:60 base:61 fit:62"
    " geometry:63 hardware:64 strategy:65 seen:66 rollout:67 channel:68 older:69"
    # VerifyError 75..84: fetch again a few times, then refuse
    " digest:75 chain:76 chunk:77 inflate:78 patch:79 order:80 truncated:81"
    # FlashError 85..99
    " bounds:85 align:86 io:87 verify:88 full:89 corrupt:90 journal:91 config:92 mode:93"
    " overlap:94 magic:95 crc:96 erased:97"
    # StateError 100..119
    " state:100 trial:101 nothing:102 empty:103 rescue:104 tries:105 exception:106"
    " deadline:107 request:108 none:109 restore:110 memory:111 mount:112 main:113 start:114 "
)


class OtaError(Exception):
    """Base of all errors of this library."""

    @property
    def reason(self) -> str:
        """The fixed word, one of docs/errors.md."""
        return self.args[0] if self.args else ""

    @property
    def code(self) -> int:
        """The stable number of the word; 0 for a word that is not listed."""
        return code(self.reason)


class TransportError(OtaError):
    """The way the bytes come failed; the update itself is fine: try again later."""


class RejectError(OtaError):
    """Never install this one."""


class ManifestError(RejectError):
    """A manifest or a package header is malformed or of an unknown version."""


class SignatureError(RejectError):
    """Not signed by a key this device trusts."""


class PolicyError(RejectError):
    """Genuine, but not for this device: product, base, downgrade, size."""


class VerifyError(OtaError):
    """Length or digest differ: fetch again a few times, then refuse."""


class FlashError(OtaError):
    """Storage refused. args: word, offset, cause."""


class StateError(OtaError):
    """Not allowed in this state."""


def code(word: str) -> int:
    """Stable number of an error word; 0 if it is not listed."""
    i = _CODES.find(" " + word + ":") if word else -1
    if i < 0:
        return 0
    i += len(word) + 2
    return int(_CODES[i : _CODES.find(" ", i)])


def word(number: int) -> str:
    """The error word of a stable number; "" if it is not listed."""
    if number <= 0:
        return ""
    end = _CODES.find(":" + str(number) + " ")
    if end < 0:
        return ""
    return _CODES[_CODES.rfind(" ", 0, end) + 1 : end]
