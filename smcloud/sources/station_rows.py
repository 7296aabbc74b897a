"""The rows of a station file, read byte by byte in one pass by compiled code.

A row begins with the time, holds the value after a fixed number of bytes, and the flag after that;
what follows the flag is not looked at. Rows end with LF, CR LF or CR; blank ones do not count.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smcloud.core.compiled import compiled

STAMP_BYTES = 16
"""Length of ``YYYY/MM/DD HH:MM``."""
MOST_FLAGS = 1000
"""More kinds of flags than this are none of ISMN's: its combinations are some dozens."""
FINE, NO_TIME, OTHER_PLACE, NO_VALUE, NO_NUMBER, TOO_MANY_FLAGS = range(6)
"""What stopped the reading of a file."""

_POWERS = 10.0 ** np.arange(23, dtype=np.float64)
"""The powers of ten that float64 holds exactly."""
_LF, _CR, _SPACE, _TAB = 10, 13, 32, 9
_ZERO, _NINE, _DOT, _MINUS, _PLUS, _SLASH, _COLON = 48, 57, 46, 45, 43, 47, 58
_UPPER_E, _LOWER_E = 69, 101
_MANTISSA_LIMIT = 10**17
"""Digits beyond the eighteenth are below float64's resolution, and would overflow an int64."""
_EXPONENT_LIMIT = 400

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Rows:
    """What the rows of a file hold, and what is wrong with the first that is wrong.

    Attributes
    ----------
    seconds : int64 (n,)
        Since 1970-01-01, UTC.
    values : float64 (n,)
    flag_names : tuple of str
        The kinds of flags in the order in which they first occur.
    flag_codes : int16 (n,)
        Index into `flag_names`.
    problem : int
        `FINE`, or why row `n` (counted from zero, blank ones left out) cannot be read.
    line : bytes
        That row; empty if all are fine.
    """

    seconds: NDArray[np.int64]
    values: NDArray[np.float64]
    flag_names: tuple[str, ...]
    flag_codes: NDArray[np.int16]
    problem: int
    line: bytes


def read_rows(content: bytes, begin: int, place: bytes, place_at: int) -> Rows:
    """Return the rows of `content` from byte `begin` on.

    Parameters
    ----------
    content
        A whole file.
    begin
        Where the rows begin: after the header.
    place
        Bytes that every row repeats; empty where only the header has them.
    place_at
        Where in a row they stand. The value is the first word after them, or after the time.

    Notes
    -----
    Values of up to 15 digits are the nearest float64, as their digits over a power of ten are
    (W. D. Clinger, How to read floating point numbers accurately, PLDI 1990).
    """
    raw = np.frombuffer(content, np.uint8)
    most = int(np.count_nonzero(raw == _LF) + np.count_nonzero(raw == _CR)) + 1
    seconds, values = np.empty(most, np.int64), np.empty(most, np.float64)
    codes = np.empty(most, np.int16)
    flags = np.empty((MOST_FLAGS, 2), np.int64)
    repeated = np.frombuffer(place, np.uint8)
    n, n_flags, problem, at = _read(
        raw, begin, repeated, place_at, _POWERS, seconds, values, codes, flags
    )
    names = tuple(content[start:end].decode("latin-1") for start, end in flags[:n_flags].tolist())
    line = _line_at(content, at) if problem != FINE else b""
    return Rows(seconds[:n], values[:n], names, codes[:n], problem, line)


def _line_at(content: bytes, at: int) -> bytes:
    return content[at : at + 200].replace(b"\r", b"\n").split(b"\n")[0]


@compiled
def _read(
    raw: Bytes,
    begin: int,
    place: Bytes,
    place_at: int,
    powers: NDArray[np.float64],
    seconds: NDArray[np.int64],
    values: NDArray[np.float64],
    codes: NDArray[np.int16],
    flags: NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Fill the arrays; return counts of rows and of flags, the problem, and where its row is."""
    n, n_flags, at = 0, 0, begin
    value_at = place_at + place.size if place.size else STAMP_BYTES
    while True:
        at = _row_start(raw, at)
        if at == raw.size:
            return n, n_flags, FINE, at
        time = _time(raw, at)
        if time == _NO_SECONDS:
            return n, n_flags, NO_TIME, at
        if place.size and not _is_same(raw, at + place_at, place):
            return n, n_flags, OTHER_PLACE, at
        first = _word_start(raw, min(at + value_at, raw.size))
        end = _word_end(raw, first)
        flag = _word_start(raw, end)
        flag_end = _word_end(raw, flag)
        if flag_end == flag:
            return n, n_flags, NO_VALUE, at
        is_number, value = _number(raw, first, end, powers)
        if not is_number:
            return n, n_flags, NO_NUMBER, at
        hint = codes[n - 1] if n else 0
        code = _flag_code(raw, flag, flag_end, flags, n_flags, hint)
        if code == n_flags:
            if n_flags == len(flags):
                return n, n_flags, TOO_MANY_FLAGS, at
            flags[code, 0], flags[code, 1] = flag, flag_end
            n_flags += 1
        seconds[n], values[n], codes[n] = time, value, code
        n += 1
        at = _row_end(raw, flag_end)


_NO_SECONDS = -(2**62)


@compiled
def _row_start(raw: Bytes, at: int) -> int:
    """Return where the next row with ink begins, at `at` or later; the size if there is none."""
    start = at
    while at < raw.size:
        byte = raw[at]
        if byte == _LF or byte == _CR:
            start = at + 1
        elif byte != _SPACE and byte != _TAB:
            return start
        at += 1
    return raw.size


@compiled
def _row_end(raw: Bytes, at: int) -> int:
    while at < raw.size and raw[at] != _LF and raw[at] != _CR:
        at += 1
    return at


@compiled
def _word_start(raw: Bytes, at: int) -> int:
    """Return where the next word of the row begins, or where the row ends."""
    while at < raw.size and (raw[at] == _SPACE or raw[at] == _TAB):
        at += 1
    return at


@compiled
def _is_gap(raw: Bytes, at: int) -> bool:
    """Say whether no word goes on at `at`."""
    if at >= raw.size:
        return True
    byte = int(raw[at])
    return byte == _SPACE or byte == _TAB or byte == _LF or byte == _CR


@compiled
def _word_end(raw: Bytes, at: int) -> int:
    while not _is_gap(raw, at):
        at += 1
    return at


@compiled
def _is_same(raw: Bytes, at: int, expected: Bytes) -> bool:
    if at + expected.size > raw.size:
        return False
    for offset in range(expected.size):
        if raw[at + offset] != expected[offset]:
            return False
    return True


@compiled
def _digits(raw: Bytes, at: int, count: int) -> int:
    """Return the number that `count` digits spell, negative if one of them is no digit."""
    total = 0
    for offset in range(count):
        byte = raw[at + offset]
        if byte < _ZERO or byte > _NINE:
            return -(10**6)
        total = total * 10 + (byte - _ZERO)
    return total


@compiled
def _time(raw: Bytes, at: int) -> int:
    """Return the seconds since 1970 of ``YYYY/MM/DD HH:MM``; `_NO_SECONDS` for all else."""
    if at + STAMP_BYTES > raw.size or not _is_gap(raw, at + STAMP_BYTES):
        return _NO_SECONDS
    if raw[at + 4] != _SLASH or raw[at + 7] != _SLASH:
        return _NO_SECONDS
    if raw[at + 10] != _SPACE or raw[at + 13] != _COLON:
        return _NO_SECONDS
    year, month, day = _digits(raw, at, 4), _digits(raw, at + 5, 2), _digits(raw, at + 8, 2)
    hour, minute = _digits(raw, at + 11, 2), _digits(raw, at + 14, 2)
    if year < 0 or month < 1 or month > 12 or day < 1 or day > _days_in(year, month):
        return _NO_SECONDS
    # 24:00 is how some providers end a day.
    if hour < 0 or hour > 24 or minute < 0 or minute > 59:
        return _NO_SECONDS
    return (_day_number(year, month, day) * 24 + hour) * 3600 + minute * 60


@compiled
def _days_in(year: int, month: int) -> int:
    if month == 2:
        is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        return 29 if is_leap else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@compiled
def _day_number(year: int, month: int, day: int) -> int:
    """Return the days since 1970-01-01 of a Gregorian date; years count from March here."""
    if month <= 2:
        year -= 1
        month += 12
    before = year * 365 + year // 4 - year // 100 + year // 400
    return before + (153 * (month - 3) + 2) // 5 + day - 1 - 719468


@compiled
def _number(raw: Bytes, at: int, end: int, powers: NDArray[np.float64]) -> tuple[bool, float]:
    """Return whether the word is a number, and the number."""
    is_negative = at < end and raw[at] == _MINUS
    if at < end and (raw[at] == _MINUS or raw[at] == _PLUS):
        at += 1
    mantissa, exponent, n_digits, is_fraction = 0, 0, 0, False
    while at < end:
        byte = raw[at]
        if byte == _DOT and not is_fraction:
            is_fraction = True
        elif _ZERO <= byte <= _NINE:
            n_digits += 1
            if mantissa < _MANTISSA_LIMIT:
                mantissa = mantissa * 10 + (byte - _ZERO)
                exponent -= is_fraction
            else:
                exponent += not is_fraction
        else:
            break
        at += 1
    if n_digits == 0:
        return False, 0.0
    if at < end:
        is_number, power = _exponent(raw, at, end)
        if not is_number:
            return False, 0.0
        exponent += power
    value = _scaled(float(mantissa), exponent, powers)
    return True, -value if is_negative else value


@compiled
def _exponent(raw: Bytes, at: int, end: int) -> tuple[bool, int]:
    """Return whether ``e-05`` is the exponent of a number, and the exponent."""
    if raw[at] != _LOWER_E and raw[at] != _UPPER_E:
        return False, 0
    at += 1
    is_negative = at < end and raw[at] == _MINUS
    if at < end and (raw[at] == _MINUS or raw[at] == _PLUS):
        at += 1
    if at == end:
        return False, 0
    power = 0
    while at < end:
        if raw[at] < _ZERO or raw[at] > _NINE:
            return False, 0
        power = min(power * 10 + (raw[at] - _ZERO), _EXPONENT_LIMIT)
        at += 1
    return True, -power if is_negative else power


@compiled
def _scaled(mantissa: float, exponent: int, powers: NDArray[np.float64]) -> float:
    if 0 <= exponent < powers.size:
        return float(mantissa * powers[exponent])
    if 0 > exponent > -powers.size:
        return float(mantissa / powers[-exponent])
    # A power of an integer is made of products, whose reciprocal is 0 below 1e-308.
    return float(mantissa * 10.0 ** float(exponent))


@compiled
def _flag_code(
    raw: Bytes, start: int, end: int, flags: NDArray[np.int64], n_flags: int, hint: int
) -> int:
    """Return the index of a flag among those known, or `n_flags` for a new one."""
    if n_flags > 0 and _is_flag(raw, start, end, flags[hint]):
        return hint
    for code in range(n_flags):
        if _is_flag(raw, start, end, flags[code]):
            return code
    return n_flags


@compiled
def _is_flag(raw: Bytes, start: int, end: int, known: NDArray[np.int64]) -> bool:
    if end - start != known[1] - known[0]:
        return False
    for offset in range(end - start):
        if raw[start + offset] != raw[known[0] + offset]:
            return False
    return True
