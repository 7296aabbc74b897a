"""Seeded noise that is a pure function of place and time: no state, no seams, any subset alike.

A lattice of integer hashes carries independent standard normal numbers; between lattice points
they are blended with smooth weights and divided by the root of the summed squares of the weights,
so that the result is standard normal everywhere. Space enters as 3-D coordinates on the unit
sphere: there is no dateline and no pole. The hash is a 32-bit finaliser of the multiply and
xor-shift kind (constants of C. Wellons' "lowbias32").
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Hashes = NDArray[np.uint32]

EARTH_RADIUS_KM = 6371.007181
BLOCK = 1 << 16
"""Points handled at once: temporaries of this size stay in the cache of one core."""

_AXIS_PRIMES = tuple(
    np.array([p], dtype=np.uint32) for p in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)
)
_NORMAL: Floats = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)).astype(np.float32)


def mix(values: Hashes) -> Hashes:
    """Return well mixed 32-bit hashes of 32-bit integers."""
    h = values ^ (values >> np.uint32(16))
    h = h * np.array([0x7FEB352D], dtype=np.uint32)
    h ^= h >> np.uint32(15)
    h *= np.array([0x846CA68B], dtype=np.uint32)
    h ^= h >> np.uint32(16)
    return h


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
    return _NORMAL[hashes >> np.uint32(16)]


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


def _one_octave(key: int, coordinates: Sequence[Doubles]) -> Floats:
    """Return lattice noise, standard normal at every point, of unit correlation cells."""
    corners: list[tuple[Hashes, Hashes]] = []
    weights: list[tuple[Floats, Floats]] = []
    for axis, coordinate in enumerate(coordinates):
        floor = np.floor(coordinate)
        t = (coordinate - floor).astype(np.float32)
        smooth = t * t * (3.0 - 2.0 * t)
        low = floor.astype(np.int64).astype(np.uint32)
        prime = _AXIS_PRIMES[axis]
        corners.append((low * prime, (low + np.uint32(1)) * prime))
        weights.append((1.0 - smooth, smooth))
    total = np.zeros(np.shape(coordinates[0]), np.float32)
    square = np.zeros_like(total)
    salt = np.uint32(key)
    for choice in product((0, 1), repeat=len(coordinates)):
        code, weight = corners[0][choice[0]] ^ salt, weights[0][choice[0]]
        for axis, side in enumerate(choice[1:], start=1):
            code = mix(code) + corners[axis][side] if axis == 2 else code ^ corners[axis][side]
            weight = weight * weights[axis][side]
        total += weight * normal_of(mix(code))
        square += weight * weight
    return total / np.sqrt(square)


def fractal(
    key: int,
    points: Doubles,
    scale_km: float,
    octaves: int = 1,
    persistence: float = 0.5,
    time: float | None = None,
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
        Where given, the noise also changes with time (days); octaves live `lifetime` days and
        the smaller ones proportionally shorter, down to a third.
    """
    out = np.empty(points.shape[1], np.float32)
    norm = np.float32(np.sqrt(sum(persistence ** (2 * k) for k in range(octaves))))
    for start in range(0, out.size, BLOCK):
        part = slice(start, start + BLOCK)
        total = np.zeros(out[part].shape, np.float32)
        for k in range(octaves):
            salt = int(mix(np.array([(key + 0x9E3779B9 * (k + 1)) & 0xFFFFFFFF], "u4"))[0])
            cells = EARTH_RADIUS_KM / scale_km * 2.17**k
            shift = 17.31 * (k + 1)
            coordinates = [points[i, part] * cells + shift * (i + 1) for i in range(3)]
            if time is not None:
                life = max(lifetime * 0.7**k, lifetime / 3.0)
                coordinates.append(np.full(total.shape, time / life + 0.37 * k))
            total += np.float32(persistence**k) * _one_octave(salt, coordinates)
        out[part] = total / norm
    return out
