"""Where and when Sentinel-1 meets SMAP: scenes of the 1 km product and the days of their files."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from smcloud.simulate.footprints import Footprints, Ints
from smcloud.simulate.granules_hdf5 import CellArrays
from smcloud.simulate.granules_smap import Scene
from smcloud.simulate.noise import pixel_hash, pixel_keys, stream
from smcloud.simulate.satellites import MORNING
from smcloud.simulate.swath import Swath

SCENE_DEGREES = 2.0
"""Side of a scene, about the width of a Sentinel-1 swath."""
REPEAT_DAYS = (6, 12)
"""Two satellites pass over half of the scenes, one over the others."""
FIRST_DAY = np.datetime64("2015-03-31", "D")
OUTAGES = (
    (np.datetime64("2019-06-19", "D"), np.datetime64("2019-07-23", "D")),
    (np.datetime64("2022-08-06", "D"), np.datetime64("2022-09-20", "D")),
)
"""First and last days on which SMAP delivered nothing."""


def smap_days(year: int) -> NDArray[np.datetime64]:
    """Return the days of a year (datetime64[D]) on which SMAP delivered."""
    days = np.arange(np.datetime64(f"{year}-01-01", "D"), np.datetime64(f"{year + 1}-01-01", "D"))
    lost = np.zeros(days.shape, bool)
    for first, last in OUTAGES:
        lost |= (days >= first) & (days <= last)
    return days[~lost & (days >= FIRST_DAY)]


@dataclass(frozen=True)
class SceneCells:
    """A scene and the cells of the 1 km grid that lie in it.

    Attributes
    ----------
    scene : Scene
    index : int array
        Which of the footprints' cells.
    arrays : CellArrays
        Of the scene's rectangle.
    lon, lat : float
        Mean place of the cells, degrees.
    luck : int
        Decides repeat and phase of the visits.
    """

    scene: Scene
    index: Ints
    arrays: CellArrays
    lon: float
    lat: float
    luck: int


def scenes_of(seed: int, cells: Footprints) -> list[SceneCells]:
    """Return the scenes that hold cells, from the south-west."""
    box = np.floor(np.stack([cells.lat, cells.lon], 1) / SCENE_DEGREES).astype(np.int64)
    corners, which = np.unique(box, axis=0, return_inverse=True)
    found = []
    for number, (south, west) in enumerate(corners):
        index = np.flatnonzero(which.ravel() == number)
        rows, cols = cells.rows[index], cells.cols[index]
        row, col = int(rows.min()), int(cols.min())
        shape = int(rows.max()) - row + 1, int(cols.max()) - col + 1
        middle = (np.array([[west], [south]]) + 0.5) * SCENE_DEGREES
        keys = pixel_keys(middle[0], middle[1])
        luck = int(pixel_hash(keys, stream(seed, "sentinel-scenes"))[0])
        place = int(np.floor(middle[0, 0])), int(np.floor(middle[1, 0]))
        scene = Scene(row, col, shape, *place)
        arrays = CellArrays(shape, rows - row, cols - col)
        lon, lat = float(cells.lon[index].mean()), float(cells.lat[index].mean())
        found.append(SceneCells(scene, index, arrays, lon, lat, luck))
    return found


def visits(scenes: list[SceneCells], year: int) -> Iterator[tuple[str, date, int]]:
    """Yield file name, day and number of the scene of every file of a year, day by day.

    A scene has one file for each repeat of Sentinel-1: on the first day on which SMAP, too, saw it
    in the morning.
    """
    if not scenes:
        return
    lon, lat = np.array([s.lon for s in scenes]), np.array([s.lat for s in scenes])
    swath = Swath(lon, lat, MORNING.orbit)
    luck = np.array([s.luck for s in scenes], np.int64)
    repeat = np.array(REPEAT_DAYS)[luck % len(REPEAT_DAYS)]
    last = np.full(len(scenes), -1, np.int64)
    for stamp in smap_days(year):
        number = int(stamp.astype(int))
        cycle = (number + luck // 2) // repeat
        angle = swath.look(number, MORNING.is_ascending).angle_degree
        met = ~np.isnan(angle) & (cycle != last)
        last[met] = cycle[met]
        day: date = stamp.astype(object)
        for which in np.flatnonzero(met):
            yield _name(scenes[which], day), day, int(which)


def _name(scene: SceneCells, day: date) -> str:
    """Return the name of the file of a scene and day; the hour of SMAP is 6 local solar time."""
    seconds = int((MORNING.hour - scene.lon / 15.0) % 24.0 * 3600)
    smap = datetime(day.year, day.month, day.day) + timedelta(seconds=seconds)
    before = timedelta(seconds=600 + scene.luck % 80000)
    return scene.scene.file_name(smap - before, smap)
