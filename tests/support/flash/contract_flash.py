"""What a flash driver must do, as one function for people who write their own.

    import contract_flash
    contract_flash.check(MyFlash(...))      # AssertionError says what is wrong

It erases the first two sectors and the last one of the device. Runs on CPython and on
a board.
"""


def check(driver):
    """Run the whole contract on driver; raise AssertionError at the first breach."""
    _geometry(driver)
    s = driver.sector_size
    driver.erase(0, s)
    driver.erase(s, s)
    driver.erase(driver.size - s, s)
    _all_erased(driver, 0)
    _all_erased(driver, s)
    _all_erased(driver, driver.size - s)
    _programs(driver)
    _across_sectors(driver)
    _last_unit(driver)
    _erase_is_local(driver)
    _buffer(driver)
    driver.erase(0, 2 * s)
    _all_erased(driver, 0)
    _all_erased(driver, s)
    driver.erase(driver.size - s, s)
    driver.sync()


def pattern(n, seed=0):
    """n bytes that repeat nowhere near a power of two."""
    period = bytes((i * 7 + i // 13 + seed) & 0xFF for i in range(min(n, 251)))
    return bytearray((period * (n // len(period) + 1))[:n])


def read(driver, offset, n):
    """n bytes at offset."""
    buf = bytearray(n)
    driver.read(offset, buf)
    return bytes(buf)


def _must(condition, message):
    if not condition:
        raise AssertionError(message)


def _geometry(driver):
    p = driver.program_size
    _must(p > 0 and p & (p - 1) == 0, "program_size is a power of two")
    _must(driver.sector_size % p == 0, "a sector is a multiple of program_size")
    _must(driver.size % driver.sector_size == 0, "size is a multiple of sector_size")
    _must(driver.size >= 3 * driver.sector_size, "the contract needs three sectors")


def _all_erased(driver, offset):
    n = driver.sector_size
    _must(read(driver, offset, n) == b"\xff" * n, "erase sets every byte to 0xFF")


def _programs(driver):
    p = driver.program_size
    n = max(p, 64)
    data = pattern(n)
    driver.program(0, data)
    _must(read(driver, 0, n) == data, "read gives what was programmed")
    _must(read(driver, n, n) == b"\xff" * n, "program leaves what follows alone")
    for at, length in ((1, 1), (3, n - 5), (n - 1, 2)):
        expected = (bytes(data) + b"\xff")[at : at + length]
        _must(read(driver, at, length) == expected, "read takes any offset and length")
    buf = bytearray(n + 2)
    driver.read(0, memoryview(buf)[1 : n + 1])
    _must(buf[1 : n + 1] == data and buf[0] == buf[n + 1] == 0, "read fills a slice exactly")
    # A program of several units, from a slice of a larger buffer, across a 256-byte page.
    start = (256 - p) // n * n or n
    start = max(start, n)
    long = pattern(4 * n + 2, 3)
    driver.program(start, memoryview(long)[1 : 1 + 4 * n])
    _must(read(driver, start, 4 * n) == long[1 : 1 + 4 * n], "a program may cross pages")
    _must(read(driver, 0, n) == data, "program leaves what precedes alone")


def _across_sectors(driver):
    s = driver.sector_size
    n = max(driver.program_size, 16)
    data = pattern(2 * n, 9)
    driver.program(s - n, data)
    _must(read(driver, s - n, 2 * n) == data, "program and read may cross a sector edge")


def _last_unit(driver):
    p = driver.program_size
    data = pattern(p, 5)
    driver.program(driver.size - p, data)
    _must(read(driver, driver.size - p, p) == data, "the last unit is usable")


def _erase_is_local(driver):
    s = driver.sector_size
    n = max(driver.program_size, 16)
    before = read(driver, 0, s)
    driver.erase(s, s)
    _must(read(driver, 0, s) == before, "erase leaves other sectors alone")
    _all_erased(driver, s)
    data = pattern(n, 17)
    driver.program(s, data)
    _must(read(driver, s, n) == data, "an erased place can be programmed again")


def _buffer(driver):
    buffer = getattr(driver, "buffer", None)
    view = buffer and buffer(0, driver.sector_size)
    if view:
        same = bytes(view) == read(driver, 0, driver.sector_size)
        _must(same and len(view) == driver.sector_size, "buffer shows what read gives")
