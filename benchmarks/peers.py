"""The same job by the routes that people take today: xarray, dask-ml and xgboost.dask.

Each writes the stored integers (days, rows, cols) to a Zarr store of its own, from the same feature
cube with the same model; `read_back` returns them, so that results can be compared value by value.
"""

from collections.abc import Callable
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr
import xgboost
import xgboost.dask
from distributed import Client
from numpy.typing import NDArray

from benchmarks.workload import BLOCK, COLUMNS, YEAR, Scale

Stored = NDArray[np.int16]
SCALE, FILL = 0.0001, -9999
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def open_features(url: str, scale: Scale) -> xr.DataArray:
    """Return the decoded features (feature, time, y, x), lazily, one chunk a block and slab."""
    rows, cols = scale.window.slices
    # Cut first and chunk then: chunking the global arrays would make millions of tasks.
    ds = xr.open_zarr(f"{url.removeprefix('file://')}/{YEAR}.zarr", chunks=None)
    ds = ds.isel(time=slice(0, scale.days), y=rows, x=cols)
    ds = ds[list(COLUMNS)].chunk(time=46, y=BLOCK, x=BLOCK)
    stacked = ds.to_dataarray("feature").astype("float32")
    found: xr.DataArray = stacked.drop_vars("spatial_ref", errors="ignore").chunk(feature=-1)
    return found


def pack(values: NDArray[np.float32]) -> Stored:
    """Return int16 soil moisture, clipped to its range as production clips it."""
    return np.rint(np.clip(values, 0.0, 0.7).astype(np.float64) / SCALE).astype(np.int16)


def read_back(store: Path) -> Stored:
    """Return the stored integers that a route wrote."""
    return np.asarray(xr.open_zarr(store, consolidated=False, mask_and_scale=False).soil_moisture)


def _write(packed: xr.DataArray, store: Path) -> None:
    packed = packed.transpose("time", "y", "x").drop_encoding().rename("soil_moisture")
    packed.to_dataset().to_zarr(store, mode="w", consolidated=False)


def _apply(url: str, scale: Scale, predict: Predict) -> xr.DataArray:
    packed: xr.DataArray = xr.apply_ufunc(
        lambda block: pack(predict(block)),
        open_features(url, scale),
        input_core_dims=[["feature"]],
        dask="parallelized",
        output_dtypes=[np.int16],
    )
    return packed


def naive(
    url: str, scale: Scale, model: xgboost.Booster, is_land: NDArray[np.bool_], store: Path
) -> None:
    """Predict every pixel with `apply_ufunc`, mask the ocean afterwards: as people write it."""

    def predict(block: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = block.reshape(-1, block.shape[-1])
        return model.inplace_predict(flat).reshape(block.shape[:-1])

    packed = _apply(url, scale, predict)
    mask = xr.DataArray(is_land, dims=("y", "x"))
    _write(packed.where(mask, FILL).astype(np.int16), store)


def masked(
    url: str, scale: Scale, model: xgboost.Booster, is_land: NDArray[np.bool_], store: Path
) -> None:
    """Predict land pixels only, with the mask applied inside `apply_ufunc`."""

    def predict(block: NDArray[np.float32], land: NDArray[np.bool_]) -> Stored:
        wide = np.broadcast_to(land, block.shape[:-1])
        packed = np.full(block.shape[:-1], FILL, np.int16)
        if wide.any():
            packed[wide] = pack(model.inplace_predict(block[wide]))
        return packed

    mask = xr.DataArray(da.from_array(is_land, chunks=BLOCK), dims=("y", "x"))
    packed = xr.apply_ufunc(
        predict,
        open_features(url, scale),
        mask.expand_dims(time=1).isel(time=0),
        input_core_dims=[["feature"], []],
        dask="parallelized",
        output_dtypes=[np.int16],
    )
    _write(packed, store)


def parallel_post_fit(
    url: str, scale: Scale, model: xgboost.Booster, is_land: NDArray[np.bool_], store: Path
) -> None:
    """Predict with dask-ml's `ParallelPostFit` over a tall table of all pixels."""
    from dask_ml.wrappers import ParallelPostFit

    fitted = ParallelPostFit(_as_estimator(model))
    flat, features = _tall(url, scale)
    _from_tall(fitted.predict(flat), features, is_land, store)


def xgboost_dask(
    url: str,
    scale: Scale,
    model: xgboost.Booster,
    is_land: NDArray[np.bool_],
    store: Path,
    client: Client,
) -> None:
    """Predict with `xgboost.dask.inplace_predict` over the same tall table."""
    flat, features = _tall(url, scale)
    predicted = xgboost.dask.inplace_predict(client, model, flat)
    _from_tall(predicted, features, is_land, store)


def _as_estimator(model: xgboost.Booster) -> xgboost.XGBRegressor:
    estimator = xgboost.XGBRegressor()
    estimator.load_model(model.save_raw("ubj"))
    return estimator


def _tall(url: str, scale: Scale) -> tuple[da.Array, xr.DataArray]:
    features = open_features(url, scale).transpose("time", "y", "x", "feature")
    blocks = features.data
    flat = da.concatenate(
        [
            blocks.blocks[index].reshape(-1, len(COLUMNS))
            for index in np.ndindex(*blocks.numblocks[:3])
        ]
    )
    return flat, features


def _from_tall(
    predicted: da.Array,
    features: xr.DataArray,
    is_land: NDArray[np.bool_],
    store: Path,
) -> None:
    chunks = features.data.chunks[:3]
    sizes = [tuple(c[i] for c, i in zip(chunks, index, strict=True))
             for index in np.ndindex(*features.data.numblocks[:3])]  # fmt: skip
    offsets = np.cumsum([0, *(int(np.prod(size)) for size in sizes)])
    blocks = np.empty(features.data.numblocks[:3], object)
    for number, index in enumerate(np.ndindex(*blocks.shape)):
        part = predicted[offsets[number] : offsets[number + 1]]
        blocks[index] = part.map_blocks(pack, dtype=np.int16).reshape(sizes[number])
    cube = xr.DataArray(da.block(blocks.tolist()), dims=("time", "y", "x"))
    _write(cube.where(xr.DataArray(is_land, dims=("y", "x")), FILL), store)
