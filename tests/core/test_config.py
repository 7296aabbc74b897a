"""Run files: what is wrong is named, with what was expected."""

import pytest

from smcloud.core.config import load_config
from smcloud.core.errors import ConfigError

GOOD = """
product = "glass-sm"
years = [2019]
tiles = ["h18v04"]
[store]
root = "out"
granules = "s3://bucket/granules/"
[train]
seed = 7
parameters = { max_depth = 6 }
"""


@pytest.fixture
def run_file(tmp_path):
    def write(text):
        path = tmp_path / "run.toml"
        path.write_text(text)
        return path

    return write


def test_a_run_file_is_read_with_its_defaults(run_file):
    config = load_config(run_file(GOOD))
    assert config.store.granules == "s3://bucket/granules"
    assert config.store.root.startswith("file:///")
    assert config.station_archive == "s3://bucket/granules/ISMN"
    assert config.training_years == (2019,)
    assert config.model_name == "glass-sm"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD + "[produce]\nblok_pixels = 150\n", r"unknown key 'produce.blok_pixels'.*block_pix"),
        ("colour = 1\n" + GOOD, "unknown key 'colour': expected one of cluster"),
        (GOOD.replace("years = [2019]", ""), "the key 'years' is missing"),
        (GOOD.replace("[2019]", "[]"), "years"),
        (GOOD + "[produce]\nblock_pixels = 70\n", "produce.block_pixels = 70"),
        (GOOD.replace("seed = 7", "seed ="), "not valid TOML"),
        (GOOD.replace("s3://", "ftp://"), "scheme 'ftp'"),
        (GOOD + 'device = "tpu"\n', "train.device = 'tpu'"),
    ],
)
def test_faults_are_one_line_that_names_the_key(run_file, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(run_file(text))
    assert "\n" not in str(caught.value)


def test_absent_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no run file"):
        load_config(tmp_path / "absent.toml")
