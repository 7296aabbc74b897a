"""The benchmark of filled temperatures prints every way of filling, hidden and cloudy apart."""

from benchmarks import cloud_filling


def test_both_judgements_of_both_overpasses_are_printed(tmp_path):
    found = cloud_filling.measure("tiny", 3, tmp_path)
    text = cloud_filling.show(found)
    for judged in ("hidden clear", "truly cloudy"):
        for overpass in ("lst_day", "lst_night"):
            assert f"{judged}, {overpass}, h26v05" in text
    assert "linear in time" in text
    assert "rests on cloud departure" in text
    assert found["seconds_an_overpass"] > 0
