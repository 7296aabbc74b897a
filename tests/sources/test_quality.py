"""Quality words bit by bit, and the traps that lie in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smcloud.core.errors import UserError
from smcloud.sources.quality import (
    GOOD,
    MOD09_QC,
    MOD09_STATE,
    MOD11_QC,
    MOD13_QUALITY,
    RELAXED,
    check_rule,
    decode_bits,
    keep_mcd43,
    keep_mod09,
    keep_mod11,
    keep_mod13,
    keep_mod15,
    kept,
)


@given(st.integers(0, 2**16 - 1))
def test_the_fields_of_a_word_put_together_are_the_word(number):
    word = np.array([number], np.uint16)
    for fields in (MOD09_STATE, MOD13_QUALITY):
        decoded = decode_bits(word, fields)
        joined = sum(int(decoded[name][0]) << start for name, (start, _) in fields.items())
        assert joined == number


def test_fields_of_every_table_lie_side_by_side():
    for fields, bits in ((MOD11_QC, 8), (MOD13_QUALITY, 16), (MOD09_STATE, 16), (MOD09_QC, 32)):
        taken = [bit for start, length in fields.values() for bit in range(start, start + length)]
        assert sorted(taken) == list(range(bits))


def test_a_field_beyond_the_word_is_refused():
    with pytest.raises(ValueError, match="does not fit a word of 8"):
        decode_bits(np.zeros(1, np.uint8), {"far": (7, 2)})


def judged(keep, words, rule):
    return {variable: kept(words, own).tolist() for variable, own in keep(rule).items()}


def test_t04_quality_zero_is_the_best_and_is_kept():
    qc = np.array([0b0000_0000, 0b0000_0001, 0b1000_0001, 0b0000_0010, 0b0000_0011], np.uint8)
    words = {"qc_day": qc, "qc_night": qc[::-1]}
    assert judged(keep_mod11, words, GOOD)["lst_day"] == [True, False, False, False, False]
    # 0b10 in the two highest bits: an error of up to 3 K.
    assert judged(keep_mod11, words, RELAXED)["lst_day"] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert judged(keep_mod11, words, GOOD)["lst_night"] == [
        False,
        False,
        False,
        False,
        True,
    ]


def test_t06_clouds_of_reflectance_come_from_the_state_word_not_from_qc():
    land = 1 << 3
    state = np.array([land, land | 1, land | 2, land | 3, land | 1 << 2, land | 1 << 10], np.uint16)
    says_cloudy = np.full(6, 1 << 30 | 0b10, np.uint32)
    found = judged(keep_mod09, {"state": state, "band_quality": says_cloudy}, GOOD)
    # Clear, and "not set, assumed clear", although the QC word says cloud everywhere.
    assert found["red"] == [True, False, False, True, False, False]
    says_clear = np.full(6, 1 << 30, np.uint32)
    found = judged(keep_mod09, {"state": state, "band_quality": says_clear}, GOOD)
    assert found["red"] == [True, False, False, True, False, False]


def test_a_faulty_band_is_left_out_alone():
    start, _ = MOD09_QC["band_5"]
    words = {
        "state": np.array([1 << 3], np.uint16),
        "band_quality": np.array([14 << start], np.uint32),
    }
    found = judged(keep_mod09, words, GOOD)
    assert not found["swir1"][0]
    assert found["red"][0]
    assert judged(keep_mod09, words, RELAXED)["swir1"][0]


def test_vegetation_rules_follow_modland_usefulness_and_snow():
    good, snowy, cloudy, poor = (
        1 << 11,
        1 << 11 | 1 << 14 | 1,
        1 << 11 | 2,
        1 << 11 | 0b1100 << 2 | 1,
    )
    words = {"vi_quality": np.array([good, snowy, cloudy, poor, good | 1], np.uint16)}
    assert judged(keep_mod13, words, GOOD)["ndvi"] == [True, False, False, False, False]
    assert judged(keep_mod13, words, RELAXED)["evi"] == [True, False, False, False, True]


def test_leaf_area_of_the_back_up_algorithm_is_only_relaxed():
    main, saturated, empirical, none = 0, 1 << 5, 3 << 5 | 1, 4 << 5 | 1
    words = {"fpar_lai_qc": np.array([main, saturated, empirical, none], np.uint8)}
    assert judged(keep_mod15, words, GOOD)["lai"] == [True, True, False, False]
    assert judged(keep_mod15, words, RELAXED)["lai"] == [True, True, True, False]


def test_albedo_of_magnitude_inversions_is_only_relaxed():
    words = {"albedo_quality": np.array([0, 1, 255], np.uint8)}
    assert judged(keep_mcd43, words, GOOD)["albedo_wsa_shortwave"] == [True, False, False]
    assert judged(keep_mcd43, words, RELAXED)["albedo_bsa_shortwave"] == [
        True,
        True,
        False,
    ]


def test_rules_have_a_default_and_a_clear_refusal():
    assert check_rule("", ("good", "all"), "mod11a1") == "good"
    with pytest.raises(UserError, match="expected one of good, all"):
        check_rule("strict", ("good", "all"), "mod11a1")
