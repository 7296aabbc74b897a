"""A GPU is used where it is asked for and there, and never quietly replaced by the CPU."""

from dataclasses import replace

import pytest
import xgboost

from smcloud.core.errors import ConfigError, UserError
from smcloud.models import devices
from smcloud.models.devices import require_device
from smcloud.models.parameters import BoostingParams
from smcloud.models.rows import Rows
from smcloud.models.training import train_boosting
from tests.models.synthetic import PARAMS


def gpu_is_there() -> bool:
    try:
        require_device("cuda")
    except UserError:
        return False
    return True


def test_a_build_without_cuda_names_the_extra(
    fit: Rows, stop: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": False})
    with pytest.raises(UserError, match=r"found a build for CPUs alone.*'smcloud\[gpu\]'"):
        train_boosting(fit, stop, replace(PARAMS, device="cuda"))


def test_a_build_with_cuda_but_no_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xgboost, "build_info", lambda: {"USE_CUDA": True})
    monkeypatch.setattr(devices, "_device_in_use", lambda device: "cpu")
    with pytest.raises(UserError, match="needs a GPU, and xgboost finds none here"):
        require_device("cuda")
    require_device("cpu")


@pytest.mark.skipif(gpu_is_there(), reason="a GPU is there")
def test_xgboost_says_that_it_fell_back_to_the_cpu() -> None:
    assert devices._device_in_use("cuda") == "cpu"


def test_another_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="device is 'tpu': expected cpu or cuda"):
        BoostingParams(device="tpu")


def test_the_device_is_stated_on_the_card() -> None:
    assert PARAMS.stated()["device"] == "cpu"
    assert replace(PARAMS, device="cuda").for_xgboost(0)["device"] == "cuda"


@pytest.mark.gpu
@pytest.mark.skipif(not gpu_is_there(), reason="no GPU, or an xgboost without CUDA")
def test_a_gpu_learns_what_the_cpu_learns(fit: Rows, stop: Rows) -> None:
    here = train_boosting(fit, stop, PARAMS)
    found = train_boosting(fit, stop, replace(PARAMS, device="cuda"))
    assert min(found.history) == pytest.approx(min(here.history), rel=0.05)
    again = train_boosting(fit, stop, replace(PARAMS, device="cuda"))
    assert again.data == found.data
