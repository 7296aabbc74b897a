"""Seeded noise that is a pure function of place and time: no state, no seams, any subset alike.

A lattice of integer hashes carries independent standard normal numbers; between lattice points
they are blended with smooth weights and divided by the root of the summed squares of the weights,
so that the result is standard normal everywhere. Space enters as 3-D coordinates on the unit
sphere: there is no dateline and no pole. The hash is a 32-bit finaliser of the multiply and
xor-shift kind (constants of C. Wellons' "lowbias32").
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from smcloud.core.compiled import compiled

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Hashes = NDArray[np.uint32]

EARTH_RADIUS_KM = 6371.007181
BLOCK = 1 << 16
"""Points handled at once: temporaries of this size stay in the cache of one core."""

_AXIS_PRIMES = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D], np.uint32)
_OFFSETS = np.array([1.0, 2.0, 3.0])
_TIME_PRIME = 0x27D4EB2F
_U15, _U16 = np.uint32(15), np.uint32(16)
_FACTOR_1, _FACTOR_2 = np.uint32(0x7FEB352D), np.uint32(0x846CA68B)
_NORMAL: Floats = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)


def mix(values: Hashes) -> Hashes:
    """Return well mixed 32-bit hashes of 32-bit integers."""
    h = values.copy()
    h ^= h >> _U16
    h *= _FACTOR_1
    h ^= h >> _U15
    h *= _FACTOR_2
    h ^= h >> _U16
    return h


@lru_cache(maxsize=1024)
def stream(seed: int, name: str) -> int:
    """Return the 32-bit key of a named noise stream of one seed.

    Two names of one seed, or one name of two seeds, give unrelated noise.
    """
    h = np.array([seed & 0xFFFFFFFF], dtype=np.uint32)
    for byte in (seed >> 32).to_bytes(8, "little", signed=True) + name.encode():
        h = mix(h ^ np.uint32(byte) ^ (h << np.uint32(5)))
    return int(h[0])


def normal_of(hashes: Hashes) -> Floats:
    """Return standard normal numbers (65536 levels) from the high halves of hashes."""
    normal: Floats = _NORMAL[hashes >> np.uint32(16)]
    return normal


def uniform_of(hashes: Hashes) -> Floats:
    """Return uniform numbers in [0, 1) from hashes."""
    return (hashes >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def sphere(lon: Doubles, lat: Doubles) -> Doubles:
    """Return unit vectors (3, n) of longitudes and latitudes in degrees."""
    phi, lam = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)])


def pixel_keys(lon: Doubles, lat: Doubles) -> Hashes:
    """Return one hash per position, equal for positions that agree to 1e-4 degree (11 m)."""
    column = np.round(np.mod(lon + 180.0, 360.0) * 1e4).astype(np.uint32)
    row = np.round((lat + 90.0) * 1e4).astype(np.uint32)
    return mix(mix(column) + row)


def pixel_hash(keys: Hashes, stream_key: int, day: int = 0) -> Hashes:
    """Return independent hashes per position for one stream and one day."""
    salt = mix(mix(np.array([stream_key], dtype=np.uint32)) + np.array([day & 0xFFFFFFFF], "u4"))
    return mix(keys ^ salt)


def _moments(key: int, time: float) -> tuple[Hashes, Floats, float]:
    """Return salts and shares of the planes of time about a moment, and their squared sum.

    On days that meet a lattice plane of time the other plane has no weight: half the work.
    """
    before = int(np.floor(time))
    late = float(_smooth(np.array([time - before], np.float32))[0])
    planes = [(before, 1.0 - late), (before + 1, late)]
    planes = [(moment, share) for moment, share in planes if share > 0]
    salts = [(key ^ (moment * _TIME_PRIME)) & 0xFFFFFFFF for moment, _ in planes]
    shares = [share for _, share in planes]
    spread = 0.0
    for share in shares:
        spread += share**2
    return np.array(salts, np.uint32), np.array(shares, np.float32), spread


@compiled
def _add_octave(
    points: Doubles,
    cells: float,
    shifts: Doubles,
    primes: Hashes,
    salts: Hashes,
    shares: Floats,
    spread: np.float32,
    normal: Floats,
    amplitude: np.float32,
    total: Floats,
) -> None:
    """Add lattice noise at points (3, n), standard normal everywhere, times an amplitude.

    Each operation is in the order and the precision that the noise of an Earth was defined in: a
    seed means the same Earth to the last bit.
    """
    one, two, three = np.float32(1), np.float32(2), np.float32(3)
    codes, weights = np.empty((3, 2), np.uint32), np.empty((3, 2), np.float32)
    for at in range(points.shape[1]):
        square = one
        for axis in range(3):
            place = points[axis, at] * cells + shifts[axis]
            floor = np.floor(place)
            t = np.float32(place - floor)
            high = t * t * (three - two * t)
            low = one - high
            weights[axis, 0], weights[axis, 1] = low, high
            codes[axis, 0] = np.uint32(np.int64(floor)) * primes[axis]
            codes[axis, 1] = codes[axis, 0] + primes[axis]
            square = square * (low * low + high * high)
        noise = np.float32(0)
        for corner in range(8):
            x, y, z = corner >> 2, (corner >> 1) & 1, corner & 1
            code = codes[0, x] ^ codes[1, y] ^ codes[2, z]
            value = np.float32(0)
            for plane in range(salts.size):
                h = np.uint32(code ^ salts[plane])
                h = np.uint32(h ^ (h >> np.uint32(16)))
                h = np.uint32(h * np.uint32(0x7FEB352D))
                h = np.uint32(h ^ (h >> np.uint32(15)))
                h = np.uint32(h * np.uint32(0x846CA68B))
                h = np.uint32(h ^ (h >> np.uint32(16)))
                value += shares[plane] * normal[h >> np.uint32(16)]
            noise += weights[0, x] * weights[1, y] * weights[2, z] * value
        total[at] += amplitude * (noise / np.sqrt(square * spread))


def _smooth(t: Floats) -> Floats:
    """Return the smooth step 3t2 - 2t3."""
    step: Floats = t * t * (3 - 2 * t)
    return step


def fractal(
    key: int,
    points: Doubles,
    scale_km: float,
    octaves: int = 1,
    persistence: float = 0.5,
    time: float = 0.0,
    lifetime: float = 1.0,
) -> Floats:
    """Return standard normal noise at unit vectors, as a sum of octaves of falling size.

    Parameters
    ----------
    key
        A stream key, from `stream`.
    points
        Unit vectors (3, n).
    scale_km
        Size of the largest cells; every further octave is 2.17 times smaller (not 2, so that
        lattice planes never coincide).
    octaves, persistence
        Number of octaves and the ratio of the amplitudes of neighbours.
    time, lifetime
        The noise also changes with time (days): its octaves live `lifetime` days and the smaller
        ones proportionally shorter, down to a third. Left at 0 the noise is static.
    """
    norm = np.float32(np.sqrt(sum(persistence ** (2 * k) for k in range(octaves))))
    points, total = np.ascontiguousarray(points), np.zeros(points.shape[1], np.float32)
    for k in range(octaves):
        salt = int(mix(np.array([(key + 0x9E3779B9 * (k + 1)) & 0xFFFFFFFF], "u4"))[0])
        salts, shares, spread = _moments(salt, time / max(lifetime * 0.7**k, lifetime / 3.0))
        _add_octave(
            points,
            EARTH_RADIUS_KM / scale_km * 2.17**k,
            17.31 * (k + 1) * _OFFSETS,
            _AXIS_PRIMES,
            salts,
            shares,
            np.float32(spread),
            _NORMAL,
            np.float32(persistence**k),
            total,
        )
    return total / norm
