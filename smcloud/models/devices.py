"""Whether XGBoost can grow trees on the device that was asked for."""

from __future__ import annotations

import json

import numpy as np

from smcloud.core.errors import MissingExtraError, UserError
from smcloud.models.parameters import Device

try:
    import xgboost
except ImportError as err:
    raise MissingExtraError("xgboost", "cpu", "training and production") from err


def require_device(device: Device) -> None:
    """Return if trees can grow on `device` in this process.

    XGBoost itself goes on without a word on the CPU, and a card would then name the wrong device.

    Raises
    ------
    UserError
        If XGBoost was built without CUDA or finds no GPU.
    """
    if device == "cpu":
        return
    if not xgboost.build_info()["USE_CUDA"]:
        raise UserError(
            "device 'cuda' needs xgboost with CUDA, found a build for CPUs alone: run "
            "`pip uninstall xgboost-cpu` and `pip install 'smcloud[gpu]'`, or train on 'cpu'"
        )
    if not _device_in_use(device).startswith("cuda"):
        raise UserError(
            "device 'cuda' needs a GPU, and xgboost finds none here: see `nvidia-smi` and "
            "CUDA_VISIBLE_DEVICES, or train on 'cpu'"
        )


def _device_in_use(device: Device) -> str:
    """Return the device that XGBoost takes when it is asked for `device`."""
    with xgboost.config_context(verbosity=0):
        rows = xgboost.DMatrix(np.zeros((2, 1), np.float32), np.zeros(2, np.float32))
        booster = xgboost.train({"device": device}, rows, num_boost_round=1)
        config = json.loads(booster.save_config())
    return str(config["learner"]["generic_param"]["device"])
