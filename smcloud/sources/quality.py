"""Quality words bit by bit: where each field lies, and the rules by which pixels are kept.

Field tables: i.modis.qc of GRASS GIS and the makers' user guides, checked against the bit listings
inside a real MOD09A1 file. Rules other than "all" are choices: "good" takes what the makers call
best, "relaxed" what many studies use to keep more pixels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smcloud.core.errors import UserError

Word = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]
Fields = Mapping[str, tuple[int, int]]
Words = Mapping[str, Word]


@dataclass(frozen=True, eq=False)
class Condition:
    """What a field of a quality word must be: a table to look it up in.

    Attributes
    ----------
    word : str
        Name of the quality word.
    start : int
        First bit of the field.
    keeps : bool array (2 ** bits,)
        Whether a pixel is kept, by the value of the field.
    """

    word: str
    start: int
    keeps: Mask


Conditions = Mapping[str, tuple[Condition, ...]]
"""Conditions by variable, all of which a pixel must meet (two at most); of a variable that is
absent all valid pixels are kept."""
Rule = Callable[[str], Conditions]
"""From the name of the rule to its conditions."""

GOOD, RELAXED, ALL = "good", "relaxed", "all"
RULES = (GOOD, RELAXED, ALL)
SNOW_FREE = "snow_free"
SNOW_RULES = (GOOD, SNOW_FREE, RELAXED, ALL)

MOD11_QC: Fields = {
    "mandatory": (0, 2),
    "data_quality": (2, 2),
    "emissivity_error": (4, 2),
    "lst_error": (6, 2),
}
"""mandatory 0 good, 1 other, 2 cloud, 3 other reason; lst_error 0 <= 1 K, 1 <= 2 K, 2 <= 3 K."""

MOD13_QUALITY: Fields = {
    "modland": (0, 2),
    "usefulness": (2, 4),
    "aerosol": (6, 2),
    "adjacent_cloud": (8, 1),
    "brdf_correction": (9, 1),
    "mixed_clouds": (10, 1),
    "land_water": (11, 3),
    "snow_ice": (14, 1),
    "shadow": (15, 1),
}
"""modland 0 good, 1 check other fields, 2 probably cloudy, 3 not produced; usefulness 0 is best."""

MOD15_QC: Fields = {
    "modland": (0, 1),
    "sensor": (1, 1),
    "dead_detector": (2, 1),
    "cloud": (3, 2),
    "algorithm": (5, 3),
}
"""cloud 0 clear, 1 cloudy, 2 mixed, 3 not set; algorithm 0 main, 1 main with saturation, 2 and 3
empirical, 4 not produced."""

MOD09_STATE: Fields = {
    "cloud": (0, 2),
    "cloud_shadow": (2, 1),
    "land_water": (3, 3),
    "aerosol": (6, 2),
    "cirrus": (8, 2),
    "internal_cloud": (10, 1),
    "internal_fire": (11, 1),
    "mod35_snow": (12, 1),
    "adjacent_cloud": (13, 1),
    "salt_pan": (14, 1),
    "internal_snow": (15, 1),
}
"""cloud 0 clear, 1 cloudy, 2 mixed, 3 not set, assumed clear; cirrus 0 none to 3 high."""

MOD09_QC: Fields = {
    "modland": (0, 2),
    **{f"band_{band}": (4 * band - 2, 4) for band in range(1, 8)},
    "atmospheric_correction": (30, 1),
    "adjacency_correction": (31, 1),
}
"""band 0 best; 7 noisy detector, 8 dead detector, 11 missing input, 13 out of bounds, 14 faulty,
15 not processed."""
_USABLE_BAND: Mask = ~np.isin(np.arange(16), (11, 13, 14, 15))

MCD43_QUALITY: Fields = {"mandatory": (0, 8)}
"""0 full inversion of the reflectance model, 1 magnitude inversion, 255 fill."""

GLASS_ALBEDO_QA: Fields = {"overall": (0, 2), "land_percent": (2, 7), "good_percent": (9, 7)}
"""overall 0 good, 1 acceptable, 2 and 3 bad."""

RECOMMENDED, ATTEMPTED = "recommended", "attempted"
RETRIEVAL_RULES = (RECOMMENDED, ATTEMPTED, ALL)
"""Rules of products that are retrieved: the makers' advice, whatever was retrieved, every value."""

SMAP_RETRIEVAL: Fields = {
    "not_recommended": (0, 1),
    "not_attempted": (1, 1),
    "failed": (2, 1),
    "freeze_thaw_failed": (3, 1),
}
"""NSIDC: bit 0 clear means recommended quality, bit 1 attempted, bit 2 successful. Bit 3 tells of
the freeze/thaw retrieval and does not touch soil moisture."""

SMAP_SURFACE: Fields = {
    "static_water": (0, 1),
    "radar_water": (1, 1),
    "coast": (2, 1),
    "urban": (3, 1),
    "precipitation": (4, 1),
    "snow": (5, 1),
    "ice": (6, 1),
    "frozen_7": (7, 1),
    "frozen_8": (8, 1),
    "mountain": (9, 1),
    "dense_vegetation": (10, 1),
    "nadir": (11, 1),
}
"""Sources disagree on which of bits 7 and 8 comes from the model and which from the radiometer:
either one means frozen ground, and their names are in the attributes of the files."""
_COLD_BITS = (SMAP_SURFACE["snow"][0], 4)
"""Snow, ice and the two frozen bits lie side by side."""

CCI_FLAG: Fields = {
    "snow_or_frozen": (0, 1),
    "dense_vegetation": (1, 1),
    "no_convergence": (2, 1),
    "beyond_physical_boundary": (3, 1),
    "low_weight": (4, 1),
    "all_unreliable": (5, 1),
    "barren_ground": (6, 1),
}
"""127, every bit, means that nothing was observed. Barren ground, since version 7, is advice: the
makers keep the value and leave its use open (product user guide, version 8.1)."""

CLEAR, ASSUMED_CLEAR = 0, 3
"""Values of the cloud fields of MOD09 and MOD15 that stand for a clear sky."""


def decode_bits(word: Word, fields: Fields) -> dict[str, Word]:
    """Return each field of a quality word as unsigned integers of the word's shape and size.

    Parameters
    ----------
    word : unsigned integer array
        Quality words as stored.
    fields : mapping of name to (first bit, number of bits)
        Bit 0 is the least significant.

    Raises
    ------
    ValueError
        If a field reaches beyond the word.
    """
    bits = word.dtype.itemsize * 8
    kind = word.dtype.type
    decoded: dict[str, Word] = {}
    for name, (start, length) in fields.items():
        if start < 0 or length < 1 or start + length > bits:
            raise ValueError(f"field {name!r} ({start}, {length}) does not fit a word of {bits}")
        decoded[name] = (word >> kind(start)) & kind((1 << length) - 1)
    return decoded


def check_rule(rule: str, rules: tuple[str, ...], source: str) -> str:
    """Return the rule's name, the first of `rules` for an empty one.

    Raises
    ------
    UserError
        If there is no such rule.
    """
    if not rule:
        return rules[0] if rules else ""
    if rule not in rules:
        raise UserError(
            f"{source} has no quality rule {rule!r}: expected one of {', '.join(rules) or 'none'}"
        )
    return rule


def kept(words: Words, conditions: tuple[Condition, ...]) -> Mask:
    """Return the pixels that meet all conditions, in the shape of the words; `words` has one."""
    mask = np.ones(next(iter(words.values())).shape, np.bool_)
    for condition in conditions:
        word = words[condition.word]
        kind = word.dtype.type
        field = (word >> kind(condition.start)) & kind(condition.keeps.size - 1)
        mask &= condition.keeps[field]
    return mask


@lru_cache(maxsize=8)
def keep_mod11(rule: str) -> Conditions:
    """Keep land surface temperature: mandatory bits 00; relaxed: 00 or 01 and an error <= 2 K."""
    field = decode_bits(np.arange(1 << 8, dtype=np.uint8), MOD11_QC)
    best: Mask = field["mandatory"] == 0
    fair: Mask = (field["mandatory"] <= 1) & (field["lst_error"] <= 1)
    keeps = best if rule == GOOD else fair
    return {f"lst_{time}": (Condition(f"qc_{time}", 0, keeps),) for time in ("day", "night")}


@lru_cache(maxsize=8)
def keep_mod13(rule: str) -> Conditions:
    """Keep vegetation indices: MODLAND 00; relaxed: 01 too, useful, unmixed and free of snow."""
    field = decode_bits(np.arange(1 << 16, dtype=np.uint16), MOD13_QUALITY)
    best: Mask = field["modland"] == 0
    useful = (field["usefulness"] <= 0b1011) & (field["mixed_clouds"] == 0)
    fair: Mask = (field["modland"] <= 1) & useful & (field["snow_ice"] == 0)
    met = (Condition("vi_quality", 0, best if rule == GOOD else fair),)
    return dict.fromkeys(("ndvi", "evi", "composite_day"), met)


@lru_cache(maxsize=8)
def keep_mod15(rule: str) -> Conditions:
    """Keep leaf area of the main algorithm under a clear sky; relaxed: the empirical one too."""
    field = decode_bits(np.arange(1 << 8, dtype=np.uint8), MOD15_QC)
    main = (field["algorithm"] <= 1) & (field["dead_detector"] == 0)
    best: Mask = main & _is_clear(field["cloud"]) & (field["modland"] == 0)
    fair: Mask = field["algorithm"] <= 3
    return {"lai": (Condition("fpar_lai_qc", 0, best if rule == GOOD else fair),)}


@lru_cache(maxsize=8)
def keep_mod09(rule: str) -> Conditions:
    """Keep clear reflectance by the state word, never by the QC word (trap T6).

    Good: clear, no shadow, no internal cloud, cirrus at most small, not beside a cloud, and the
    band itself usable; relaxed: clear and no shadow. The QC word knows the state of each band, but
    its cloud bits have not been filled properly since collection 3.
    """
    state = decode_bits(np.arange(1 << 16, dtype=np.uint16), MOD09_STATE)
    clear: Mask = _is_clear(state["cloud"]) & (state["cloud_shadow"] == 0)
    variables = (*REFLECTANCE_BANDS, "composite_day")
    if rule == RELAXED:
        return dict.fromkeys(variables, (Condition("state", 0, clear),))
    clear &= (state["internal_cloud"] == 0) & (state["cirrus"] <= 1)
    clear &= state["adjacent_cloud"] == 0
    is_clear = Condition("state", 0, clear)
    bands = {
        variable: (is_clear, Condition("band_quality", MOD09_QC[f"band_{band}"][0], _USABLE_BAND))
        for variable, band in REFLECTANCE_BANDS.items()
    }
    return {**bands, "composite_day": (is_clear,)}


REFLECTANCE_BANDS: Mapping[str, int] = {
    "red": 1,
    "nir": 2,
    "blue": 3,
    "green": 4,
    "swir1": 5,
    "swir2": 6,
    "swir3": 7,
}
"""MODIS bands by the names of the cube."""


@lru_cache(maxsize=8)
def keep_mcd43(rule: str) -> Conditions:
    """Keep albedo of full inversions; relaxed: of magnitude inversions too."""
    return _albedo(MCD43_QUALITY["mandatory"], rule)


@lru_cache(maxsize=8)
def keep_mcd43d(rule: str) -> tuple[Condition, ...]:
    """Keep albedo of full inversions; snow_free: of ground without snow; relaxed: of any inversion.

    The words are ``quality``, 0 and 1 full inversions, 2 and 3 magnitude, 4 fill, as in MCD43A2 of
    collection 6.1; and ``snow``, 0 without, 1 with snow.
    """
    if rule == ALL:
        return ()
    codes = np.arange(1 << 8)
    inverted = Condition("quality", 0, codes <= (3 if rule == RELAXED else 1))
    return (inverted, Condition("snow", 0, codes == 0)) if rule == SNOW_FREE else (inverted,)


@lru_cache(maxsize=8)
def keep_glass_albedo(rule: str) -> Conditions:
    """Keep albedo whose overall quality is good; relaxed: or acceptable."""
    return _albedo(GLASS_ALBEDO_QA["overall"], rule)


def _albedo(field: tuple[int, int], rule: str) -> Conditions:
    """Keep both albedos where a field is 0; relaxed: or 1."""
    start, bits = field
    keeps: Mask = np.arange(1 << bits) <= (0 if rule == GOOD else 1)
    met = (Condition("albedo_quality", start, keeps),)
    return dict.fromkeys(("albedo_wsa_shortwave", "albedo_bsa_shortwave"), met)


@lru_cache(maxsize=8)
def keep_smap(rule: str) -> tuple[Condition, ...]:
    """Keep recommended retrievals; attempted: all successful ones that are not cold.

    Cold is snow, ice or either of the two bits for frozen ground in the surface flag. The words are
    ``retrieval_qual_flag`` and ``surface_flag``.
    """
    if rule == ALL:
        return ()
    field = decode_bits(np.arange(1 << 4, dtype=np.uint8), SMAP_RETRIEVAL)
    retrieved: Mask = (field["not_attempted"] == 0) & (field["failed"] == 0)
    if rule == RECOMMENDED:
        return (Condition("retrieval_qual_flag", 0, retrieved & (field["not_recommended"] == 0)),)
    start, bits = _COLD_BITS
    warm: Mask = np.arange(1 << bits) == 0
    return Condition("retrieval_qual_flag", 0, retrieved), Condition("surface_flag", start, warm)


@lru_cache(maxsize=8)
def keep_cci(rule: str) -> tuple[Condition, ...]:
    """Keep values without a flag but the advice on barren ground; attempted: all physical ones.

    Attempted values may stand under dense vegetation or have little weight in the merging; frozen,
    unconverged, unphysical and unreliable ones are never kept by either.
    """
    if rule == ALL:
        return ()
    field = decode_bits(np.arange(1 << 7, dtype=np.uint8), CCI_FLAG)
    never = ("snow_or_frozen", "no_convergence", "beyond_physical_boundary", "all_unreliable")
    doubtful = ("dense_vegetation", "low_weight") if rule == RECOMMENDED else ()
    keeps: Mask = np.logical_and.reduce([field[name] == 0 for name in (*never, *doubtful)])
    return (Condition("flag", 0, keeps),)


def keep_all(rule: str) -> Conditions:
    """Keep every valid pixel: for products without quality words."""
    del rule
    return {}


def _is_clear(cloud: Word) -> Mask:
    clear: Mask = (cloud == CLEAR) | (cloud == ASSUMED_CLEAR)
    return clear
