"""Dates in HTTP headers, read only to tell how far apart two dates of one server are."""

_MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"


def seconds(value: bytes):
    """Seconds from the year 0 to a date like b"Sun, 06 Nov 1994 08:49:37 GMT".

    None for any other form. No calendar is checked: the difference is bounded by the caller.
    """
    month = _MONTHS.find(value[8:11])
    if len(value) != 29 or value[25:] != b" GMT" or month < 0 or month % 3:
        return None
    for i in (5, 6, 12, 13, 14, 15, 17, 18, 20, 21, 23, 24):
        if not 0x30 <= value[i] <= 0x39:
            return None
    # The year begins in March here, so that its leap day is the last.
    month = (month // 3 + 10) % 12
    year = int(value[12:16]) - month // 10
    days = 365 * year + year // 4 - year // 100 + year // 400
    days += (153 * month + 2) // 5 + int(value[5:7])
    return ((days * 24 + int(value[17:19])) * 60 + int(value[20:22])) * 60 + int(value[23:25])
