"""What codecs and shapes of chunks cost: to write, to read, in bytes, in requests.

Fields are those of the simulated Earth as its sensors see them, packed as the schemas pack them:
smooth patterns below noise, and the gaps of real clouds. Everything goes through smcloud's own
encoder and reader; `zarr` and `zarrs` read the same bytes through zarr-python's pipeline and, where
the package is installed, through that of zarrs. Rates are MB of decoded values a second of
processor time, all threads counted: a busy machine, or a pipeline that takes two cores, does not
flatter anybody. Stores lie in a local folder.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from benchmarks.timing import interleave, progress
from smcloud.core.objects import Objects, Part, open_objects
from smcloud.cube.patches import Patch, Points, rectangles, scatters
from smcloud.cube.schema import Array, Variable
from smcloud.cube.sharded import Batch, ShardedArray, layout_of
from smcloud.grids.grid import SIN1KM, Window
from smcloud.grids.tiles import tile_window
from smcloud.products.glass_sm import SOIL_MOISTURE
from smcloud.simulate.sensors import AlbedoSensor, LstSensor
from smcloud.simulate.world import Earth
from smcloud.sources.registry import SOURCES

UNITS = {"tiny": 10, "small": 150, "large": 150}
"""Pixels of a block's side: chunks and shards are counted in it."""
ROUNDS = {"tiny": 1, "small": 5, "large": 9}
TILE, FIRST_DAY, DAYS, YEAR_DAYS = "h18v04", np.datetime64("2019-05-01"), 92, 368
LAND_SHARE = 0.29
CODECS: Mapping[str, tuple[BytesBytesCodec, ...]] = {
    "zstd 1": (ZstdCodec(level=1),),
    "zstd 1 + checksum": (ZstdCodec(level=1, checksum=True),),
    "zstd 3 + checksum": (ZstdCodec(level=3, checksum=True),),
    "lz4 5 shuffle + crc32c": (BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()),
    "lz4 5 bitshuffle + crc32c": (
        BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
        Crc32cCodec(),
    ),
    "blosc zstd 1 shuffle + crc32c": (
        BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
        Crc32cCodec(),
    ),
    "none + crc32c": (Crc32cCodec(),),
}


@dataclass(frozen=True)
class Shape:
    """Chunk and shard: days, and the side in blocks."""

    chunk_days: int
    chunk_side: int
    shard_days: int
    shard_side: int
    codec: str

    def name(self, unit: int) -> str:
        """Return the shape in days and pixels."""
        chunk, shard = self.chunk_side * unit, self.shard_side * unit
        return f"{self.chunk_days} x {chunk} x {chunk} in {self.shard_days} x {shard} x {shard}"


SHAPES = tuple(
    Shape(*sizes, codec)
    for sizes, codec in (
        ((46, 1, 46, 8), "lz4 5 shuffle + crc32c"),
        ((46, 2, 46, 8), "lz4 5 shuffle + crc32c"),
        ((92, 1, 92, 8), "lz4 5 shuffle + crc32c"),
        ((46, 1, 368, 1), "zstd 1 + checksum"),
        ((46, 1, 368, 2), "zstd 1 + checksum"),
    )
)
TILE_SIDE = 8
"""Blocks along the side of a tile."""


class CountedObjects(Objects):
    """Objects that count what is asked of them."""

    def get_part(self, key: str, start: int, length: int) -> Part:
        """Count one request and pass it on."""
        _ASKED.append(key)
        return super().get_part(key, start, length)


_ASKED: list[str] = []


def fields(unit: int, seed: int) -> dict[str, tuple[Variable, Array]]:
    """Return stored integers (days, 2 units, 2 units) of two drivers and of a product."""
    tile = tile_window(SIN1KM, TILE)
    row, col = tile.row0 + 600, tile.col0 + 600
    lon, lat = (a.ravel() for a in SIN1KM.lonlat(Window(row, row + 2 * unit, col, col + 2 * unit)))
    lst, albedo = LstSensor(seed, lon, lat), AlbedoSensor(seed, lon, lat)
    packing = {
        "lst_day": SOURCES["mod11a1"].schema.variable("lst_day"),
        "albedo": SOURCES["mcd43a3"].schema.variable("albedo_wsa_shortwave"),
        "soil_moisture": SOIL_MOISTURE,
    }
    seen: dict[str, list[Array]] = {name: [] for name in packing}
    for state in Earth(seed).run(lon, lat, FIRST_DAY + np.arange(DAYS)):
        views = (lst.observe(state).lst_day_k, albedo.observe(state).wsa, state.soil_moisture)
        for (name, variable), values in zip(packing.items(), views, strict=True):
            seen[name].append(variable.pack(values).reshape(2 * unit, 2 * unit))
    return {name: (packing[name], np.stack(days)) for name, days in seen.items()}


class Stored:
    """One array in a folder: written by smcloud's encoder, read by its reader."""

    def __init__(
        self, folder: Path, variable: Variable, shape: Shape, values: Array, unit: int
    ) -> None:
        self.values = values
        self.folder = folder
        _, rows, cols = values.shape
        self.window = Window(0, rows, 0, cols)
        side = min(shape.shard_side * unit, rows)
        self.shard = (shape.shard_days, side, side)
        chunk = shape.chunk_side * unit
        self.array = zarr.create_array(
            folder / "values",
            shape=values.shape,
            dtype=values.dtype,
            chunks=(shape.chunk_days, chunk, chunk),
            shards=self.shard,
            fill_value=variable.fill_value,
            compressors=CODECS[shape.codec],
        )
        layout = layout_of(self.array)
        if layout is None:
            raise ValueError(f"codec {shape.codec} is not known to the reader")
        self.layout, self.fill = layout, variable.fill_value
        self.reader = self._reader(folder)

    def _reader(self, folder: Path) -> ShardedArray:
        found = open_objects(str(folder))
        objects = CountedObjects(found.url, found.bucket, found.prefix)
        return ShardedArray(objects, "values", self.array, self.layout)

    def requests(self, read: Callable[[], object], name: str) -> int:
        """Return how many requests a read needs that knows no index yet."""
        # Indexes are remembered by URL: through a link nothing is known of them.
        link = self.folder.with_name(f"{self.folder.name}-{name}")
        link.symlink_to(self.folder, target_is_directory=True)
        self.reader = self._reader(link)
        _ASKED.clear()
        read()
        return len(_ASKED)

    def shards(self) -> Iterator[tuple[str, Array]]:
        """Yield key and values of each shard."""
        sizes = zip(self.values.shape, self.shard, strict=True)
        for place in np.ndindex(*(-(-length // size) for length, size in sizes)):
            cut = tuple(
                slice(n * size, (n + 1) * size) for n, size in zip(place, self.shard, strict=True)
            )
            yield self.reader.key(place), self.values[cut]

    def encode(self) -> int:
        """Encode every shard; return the bytes."""
        return sum(len(self.layout.encode(values, self.fill)) for _, values in self.shards())

    def write(self) -> int:
        """Put every shard; return the bytes."""
        objects, total = open_objects(str(self.folder)), 0
        for key, values in self.shards():
            data = self.layout.encode(values, self.fill)
            objects.put(key, data)
            total += len(data)
        return total

    def read_points(self, window: Window, steps: slice, points: Points) -> Array:
        """Return values (steps, points) of a window."""
        chunk = self.layout.codec.shape[1:]
        out = np.empty((steps.stop - steps.start, len(points)), self.values.dtype)
        patches = scatters(window, points, self.window, chunk)
        return self._read(steps, patches, out)

    def read_day(self, day: int) -> Array:
        """Return the map of one day."""
        chunk = self.layout.codec.shape[1:]
        out = np.empty((1, *self.window.shape), self.values.dtype)
        patches = rectangles(self.window, self.window, self.window, chunk)
        return self._read(slice(day, day + 1), patches, out)

    def _read(self, steps: slice, patches: Iterable[Patch], out: Array) -> Array:
        batch = Batch()
        batch.add(self.reader, steps, patches, out, out.dtype.type(self.fill))
        batch.complete()
        return out


def core_seconds(
    works: Mapping[tuple[str, str], Callable[[], object]], rounds: int
) -> dict[tuple[str, str], float]:
    """Return the least processor time of each piece of work, measured A B C A B C."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            started = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - started)
    return best


@contextmanager
def _pipeline(name: str) -> Iterator[None]:
    path = {
        "zarr": "zarr.core.codec_pipeline.BatchedCodecPipeline",
        "zarrs": "zarrs.ZarrsCodecPipeline",
    }[name]
    with zarr.config.set({"codec_pipeline.path": path, "threading.max_workers": 1}):
        yield


def by_zarr(stored: Stored, pipeline: str, points: Points) -> NDArray[Any]:
    """Return the points of all days as zarr reads them, whole window first."""
    with _pipeline(pipeline):
        array = zarr.open_array(stored.folder / "values", mode="r")
        values = np.asarray(array[...])
    return np.take(values.reshape(len(values), -1), points, axis=1)


def codec_rows(
    folder: Path, layers: Mapping[str, tuple[Variable, Array]], unit: int, seed: int, rounds: int
) -> list[dict[str, Any]]:
    """Return ratio and MB/s of each codec, all layers together and interleaved."""
    points = np.flatnonzero(np.random.default_rng(seed).random(4 * unit * unit) < LAND_SHARE)
    pipelines = ["zarr", *(["zarrs"] if importlib.util.find_spec("zarrs") else [])]
    rows: dict[str, dict[str, Any]] = {}
    for codec in CODECS:
        rows[codec] = {"codec": codec, "bytes": 0, "stored_bytes": 0}
    for layer, (variable, values) in layers.items():
        progress(f"codecs on {layer}")
        works = {}
        for number, codec in enumerate(CODECS):
            shape = Shape(46, 1, 46, 2, codec)
            stored = Stored(folder / f"{layer}-{number}", variable, shape, values, unit)
            rows[codec]["bytes"] += values.nbytes
            rows[codec]["stored_bytes"] += stored.write()
            works[codec, "write"] = stored.encode
            whole = slice(0, len(values))
            works[codec, "read"] = lambda s=stored, w=whole: s.read_points(s.window, w, points)
            for name in pipelines:
                works[codec, name] = lambda s=stored, n=name: by_zarr(s, n, points)
        for (codec, what), seconds in core_seconds(works, rounds).items():
            key = f"{what}_seconds"
            rows[codec][key] = rows[codec].get(key, 0.0) + seconds
    return [_with_rates(row) for row in rows.values()]


def _with_rates(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {"codec": row["codec"], "ratio": round(row["bytes"] / row["stored_bytes"], 3)}
    for key, seconds in row.items():
        if key.endswith("_seconds"):
            found[key.replace("_seconds", "_mb_s")] = round(row["bytes"] / 1e6 / seconds)
    return found


def shape_rows(
    folder: Path, layers: Mapping[str, tuple[Variable, Array]], unit: int, rounds: int
) -> list[dict[str, Any]]:
    """Return what a block's, a point's and a day's read cost in each shape, scaled to a tile-year.

    Driver shapes are measured on a whole tile of `DAYS` days, product shapes on a year of four
    blocks; the fields of the simulated Earth are repeated to fill them.
    """
    variable, values = layers["lst_day"]
    rows = []
    for number, shape in enumerate(SHAPES):
        progress(f"shape {shape.name(unit)}")
        is_product = shape.shard_days > DAYS
        side = 2 if is_product else TILE_SIDE
        repeats = (YEAR_DAYS // DAYS, 1, 1) if is_product else (1, side // 2, side // 2)
        stored = Stored(folder / f"shape-{number}", variable, shape, np.tile(values, repeats), unit)
        rows.append(_shape_row(stored, shape, unit, rounds))
    return rows


def _shape_row(stored: Stored, shape: Shape, unit: int, rounds: int) -> dict[str, Any]:
    size, days = stored.write(), len(stored.values)
    years, tiles = YEAR_DAYS / days, (TILE_SIDE * unit / stored.window.shape[0]) ** 2
    whole, block = slice(0, days), Window(0, unit, 0, unit)
    land = np.flatnonzero(np.random.default_rng(0).random(unit * unit) < LAND_SHARE)
    works = {
        "day": lambda: stored.read_day(50),
        "point": lambda: stored.read_points(block, whole, land[:1]),
        "block": lambda: stored.read_points(block, whole, land),
    }
    asked = {name: stored.requests(works[name], name) for name in ("day", "point")}
    spread = interleave(works, rounds)
    writing = core_seconds({("", "write"): stored.encode}, rounds)["", "write"]
    return {
        "shape": shape.name(unit),
        "codec": shape.codec,
        "ratio": round(stored.values.nbytes / size, 3),
        "write_mb_s": round(stored.values.nbytes / 1e6 / writing),
        "block_year_ms": round(1e3 * spread["block"].best * years, 2),
        "point_year_ms": round(1e3 * spread["point"].best * years, 2),
        "point_year_requests": round(asked["point"] * years),
        "tile_day_ms": round(1e3 * spread["day"].best * tiles, 2),
        "tile_day_requests": round(asked["day"] * tiles),
    }


def measure(scale: str, seed: int, folder: Path) -> dict[str, Any]:
    """Return both tables; writes its stores below `folder`."""
    unit, rounds = UNITS[scale], ROUNDS[scale]
    progress("the simulated Earth")
    layers = fields(unit, seed)
    return {
        "codecs": codec_rows(folder, layers, unit, seed, rounds),
        "shapes": shape_rows(folder, layers, unit, rounds),
    }


def show(found: Mapping[str, Any]) -> str:
    """Return both tables as text."""
    lines = [
        "decoded MB a core-second; ratio of decoded to stored bytes; LST, albedo, soil moisture"
    ]
    rates = [key for key in found["codecs"][0] if key.endswith("_mb_s")]
    lines.append(
        f"{'codec':32}{'ratio':>8}" + "".join(f"{k.removesuffix('_mb_s'):>8}" for k in rates)
    )
    for row in found["codecs"]:
        rates_text = "".join(f"{row[key]:8d}" for key in rates)
        lines.append(f"{row['codec']:32}{row['ratio']:8.2f}{rates_text}")
    lines += ["", "ms with the indexes known, requests without; daily LST"]
    lines.append(
        f"{'chunk in shard':36}{'ratio':>6}{'write':>7}{'block':>8}{'point':>8}{'':>6}"
        f"{'tile':>8}{'':>6}"
    )
    lines.append(
        f"{'':42}{'MB/s':>7}{'year ms':>8}{'year ms':>8}{'asked':>6}{'day ms':>8}{'asked':>6}"
    )
    for row in found["shapes"]:
        lines.append(
            f"{row['shape']:36}{row['ratio']:6.2f}{row['write_mb_s']:7d}{row['block_year_ms']:8.1f}"
            f"{row['point_year_ms']:8.1f}{row['point_year_requests']:6d}{row['tile_day_ms']:8.1f}"
            f"{row['tile_day_requests']:6d}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    chosen = argparse.ArgumentParser(prog="python -m benchmarks.stores", description=__doc__)
    chosen.add_argument("--scale", choices=sorted(UNITS), default="small")
    chosen.add_argument("--seed", type=int, default=0)
    options = chosen.parse_args()
    with tempfile.TemporaryDirectory(prefix="smcloud-bench-") as folder:
        print(show(measure(options.scale, options.seed, Path(folder))))


if __name__ == "__main__":
    main()
