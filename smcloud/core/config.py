"""A run file: everything one run needs to know, read once by the CLI and passed down.

The file is TOML. An unknown key is an error that names the known ones; a value out of range is an
error that names the key and the range. Nothing is read from it at import time.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from smcloud.core.errors import ConfigError
from smcloud.core.layout import Layout, join
from smcloud.core.objects import normalise_url

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Parameter = int | float | str | bool


Stage = Literal["ingest", "train", "produce", "validate", "publish"]
STAGES: tuple[Stage, ...] = ("ingest", "train", "produce", "validate", "publish")
BUCKETS = ("s3://", "gs://", "az://")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreConfig(_Section):
    """Where things lie. URLs of any store, or paths relative to the working directory."""

    root: str
    """Cubes, tables, models, products, ledger and reports are written below this URL."""
    granules: str = ""
    """Native files are read from below this URL; not needed by a run that skips ingest."""
    truth: str = ""
    """The simulated Earth's own soil moisture, if there is one: used by validate only. Its true
    temperatures are looked for beside it, in `truth-lst`."""

    @field_validator("root", "granules", "truth")
    @classmethod
    def _normal(cls, url: str) -> str:
        return normalise_url(url) if url else ""


class IngestConfig(_Section):
    """How granules become cubes."""

    at: Literal["tiles", "stations"] = "tiles"
    """`stations` writes only the shards that hold stations, and those of what [produce] names."""
    quality: dict[str, str] = {}
    """Quality rule per source, such as ``mod11a1 = "relaxed"``; the source's first by default."""
    cubes: dict[str, str] = {}
    """URL per source of cubes that exist already on the grid: their ingest is skipped."""


class StationsConfig(_Section):
    """How station archives become daily means."""

    archive: str = "ISMN"
    """Folder or zip below `granules` (or a URL) in ISMN's layout; "" for none. A product that comes
    down from coarse cells does without the default one where it is not there."""
    csv: str = ""
    """Folder or zip below `granules` (or a URL) with plain CSV beside the archive, of networks that
    it lacks: *soil_moisture.csv and *precipitation.csv."""
    flags: tuple[str, ...] = ("G", "U")
    """Accepted quality flags; downloads from before 2013 mark good values U."""
    minimum_hours: Annotated[int, Field(ge=1, le=24)] = 12
    """A day with fewer accepted hourly values is unknown."""
    maximum_depth_m: float = 0.0508
    """The deepest end of a sensor that stands for 0 to 5 cm (2 inches in US networks)."""


class TrainConfig(_Section):
    """How the model is fitted and scored."""

    model: str = ""
    """Name of the model; the product's own name by default."""
    features: tuple[str, ...] = ()
    """Feature names in order; the product's own list by default."""
    years: tuple[int, ...] = ()
    """Years of the station table; the run's years by default."""
    seed: int = 0
    block_degrees: float = Field(default=0.5, gt=0.0)
    """Side of the spatial blocks that keep neighbouring stations on one side of a split."""
    rounds: Positive = 300
    early_stopping: Positive = 30
    distributed: Literal["auto", "dask", "local"] = "auto"
    """`auto`: plain hist on one host, xgboost.dask on several or when rows exceed memory."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where the trees grow; `cuda` needs a GPU and the extra `gpu`."""
    parameters: dict[str, Parameter] = {}
    """Overrides of the product's XGBoost parameters."""
    folds: Positive = 1
    """Folds of each split that are trained and scored, one a task; a fifth of the blocks, days or
    years (less if `folds` is more than five) is the test set of each."""
    most_rows: Annotated[int, Field(ge=0)] = 0
    """Rows that each training takes, evenly over the days of all stations; 0 takes all."""
    held_out_networks: tuple[str, ...] = ()
    """Networks that one more model never sees and is scored on; names as in the station table."""
    monotone: dict[str, Literal[-1, 0, 1]] = {}
    """Feature to 1 (the estimate never falls as it rises) or -1 (never rises)."""
    interactions: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] = ()
    """Groups of features that may share a branch of a tree; one in no group stands alone."""
    permutations: Annotated[int, Field(ge=0)] = 3
    """Repeats of each permutation importance on the test stations; 0 leaves it out."""
    ablation: bool = False
    """Train and score once more without each driver's features."""


class TuneConfig(_Section):
    """The search for XGBoost's parameters, on stations inside fit and stop of the outer split."""

    candidates: Annotated[int, Field(ge=2)] = 18
    """Sets of parameters in the first rung; the first one is that of [train]."""
    keep_one_in: Annotated[int, Field(ge=2)] = 3
    """One candidate in so many goes on to the next rung, with so many times the days."""
    rungs: Positive = 3
    inner_folds: Annotated[int, Field(ge=2)] = 3
    """Parts of the spatial blocks that are scored in turn by models of the other parts."""
    score: Literal["RMSE", "ubRMSE", "median_RMSE", "median_ubRMSE", "median_R"] = "RMSE"
    """What the search makes best; `median` is over the stations."""
    every_fold: bool = False
    """Search inside every fold of every split, so that all scores are those of tuned models; else
    inside the stored model's alone, and the other folds keep the parameters of [train]."""
    seed: int = 0
    space: dict[str, tuple[float, float]] = {}
    """Lowest and highest value of each parameter searched, in place of the default space."""


class SelectionConfig(_Section):
    """Which stations are representative enough to learn from, by triple collocation."""

    use: bool = False
    """Collocate references with the stations and score models of selected stations beside all."""
    ship: Literal["selected", "all"] = "selected"
    """Stations that the stored model learns from; the scores show both, whichever it is."""
    members: tuple[str, str] = ("era5land", "smap_l3")
    """The two products that make the triplet with the station: of era5land, smap_l3, cci_active
    and cci_passive. Never cci_combined, which is scaled to a land surface model."""
    again: tuple[str, ...] = ("cci_active", "smap_l3")
    """A second triplet without ERA5-Land, reported beside the first; [] for none."""
    otherwise: tuple[str, ...] = ("era5land", "cci_active")
    """Judges a station that the first triplet cannot, for want of days; [] drops such stations."""
    minimum_r: float = Field(default=0.5, ge=0.0, lt=1.0)
    """A station is kept from this TC correlation up."""
    minimum_samples: Annotated[int, Field(ge=3)] = 100
    """Days on which all three are known; a station with fewer is not judged, and not kept."""
    form: Literal["raw", "anomaly"] = "raw"
    """Series that the rule judges: as they are, or with their climatology removed; the table has
    the figures of both."""
    draws: Annotated[int, Field(ge=0)] = 200
    """Bootstrap draws behind the intervals in the table; 0 for none. They decide nothing."""
    block_days: Positive = 30
    """Days that the bootstrap draws together, for errors remember."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Return every source that the two triplets read, each once; none where it is not used."""
        named = (*self.members, *self.again, *self.otherwise)
        return tuple(dict.fromkeys(named)) if self.use else ()


class ProduceConfig(_Section):
    """What is written of which years, and how."""

    tiles: tuple[str, ...] = ()
    """Tiles to produce, of the run's own; all of them by default."""
    years: tuple[int, ...] = ()
    """Years to produce, of the run's own; all of them by default."""
    window: str = ""
    """Part of each tile to produce, ROWSxCOLS+ROW+COL; the whole tile by default."""
    block_pixels: Literal[150, 300] = 150
    """Side of the block, and shard, that one task writes."""
    step_days: Positive = 46
    """Days whose features are in memory at once."""
    read_ahead: bool | None = None
    """Read a worker's next block, and write its last, while one is computed. By default in a
    bucket: a disk of this machine answers at once, and it takes memory."""
    tasks_per_worker: Positive = 4
    """Blocks submitted per thread of a worker, those at work included."""
    heartbeat_seconds: float = Field(default=10.0, gt=0.0)
    """Beat of the lease; it expires after three missed beats."""
    frozen_mask: bool = True
    """Raise the quality bit of frozen ground also where `freeze-thaw` below the same root says so,
    if it is published for all years that are produced."""
    core_hour_price: float = Field(default=0.05, ge=0.0)
    """Price of a core-hour in the currency of the plan's cost line."""


class DownscaleConfig(_Section):
    """How a product comes down from coarse cells; other products do not read it."""

    aggregation: Literal["mean", "nearest"] = "mean"
    """How the pixels of a cell become its features: their mean, or the pixel at its centre."""
    minimum_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Least share of a cell's land pixels that must be known for its mean to count."""
    period_days: Annotated[int, Field(ge=1, le=366)] = 1
    """Days of a period that has a model of its own, counted from each 1 January."""
    minimum_samples: Annotated[int, Field(ge=0)] = 100
    """A period is modelled where it has more samples (cells and days) than this."""
    pooled: bool = False
    """One model of all days, in place of one a period."""
    families: Annotated[tuple[str, ...], Field(min_length=1)] = ("mlr", "svr", "ann", "rf", "xgb")
    """Which of the five compete: linear, support vectors, neural network, random forest, XGBoost;
    the best by an inner score is kept in each period."""
    test_share: Share = 0.3
    """Part of the cells of a period, in whole groups, on which its families are scored."""
    candidates: Positive = 4
    """Sets of parameters that the search tries of each family."""
    damped: bool = True
    """Scale the pattern within cells by how much of it is to be believed, found by inner
    validation; without it the model's own pattern is kept, which is mostly too strong."""
    bandwidth_km: Annotated[float, Field(ge=0.0)] = 0.0
    """Bandwidth of local regressions; 0 finds it by cross-validation."""
    minimum_cells: Annotated[int, Field(ge=2)] = 30
    """A day has local regressions where so many of its coarse cells are known."""
    ridge: Annotated[float, Field(ge=0.0)] = 1.0
    """What holds the slopes of local regressions back: predictors that go together between cells do
    not inside them. 0 is none, 1 halves the slope of a predictor that stands alone."""
    days_around: Annotated[int, Field(ge=0, le=60)] = 16
    """Days to either side that share the slopes of a local regression, each about its own level."""
    bridge: Literal["sensor", "climatology", "none"] = "sensor"
    """How AMSR-E and AMSR2, which never overlap, are joined. `sensor`: a third one (WindSat, or
    MWRI at 36 km) carries the scale from one to the other and stands in between them, 2011-10 to
    2012-06. `climatology`: the scale is that of their months, the time between stays unknown.
    `none`: each keeps its own scale."""


class GroundConfig(_Section):
    """How the state of the ground is learned and told; other products do not read it."""

    partly: Literal["frozen", "thawed", "left_out", "class"] = "frozen"
    """What cells that the label calls partly frozen count as; `left_out` neither teach nor test,
    `class` are a state of their own."""
    overpasses: Annotated[tuple[Literal["night", "day"], ...], Field(min_length=1)] = (
        "night",
        "day",
    )
    """Overpasses that teach; a map takes the first that saw a cell on a day."""
    most_rows: Annotated[int, Field(ge=100)] = 200_000
    """Rows of the table at the most, drawn evenly over years and blocks."""
    block_degrees: float = Field(default=2.0, gt=0.0, le=90.0)
    """Side of the spatial blocks that keep neighbouring cells on one side of a split."""
    folds: Annotated[int, Field(ge=1, le=5)] = 3
    """Folds of each split that are grown and scored; a fifth of blocks or years is the test set of
    each."""
    trees: Positive = 100
    max_depth: Annotated[int, Field(ge=0)] = 12
    """Levels of a tree; 0 for no limit, which is slower to apply beyond 12."""
    min_samples_leaf: Positive = 5
    max_features: Annotated[float, Field(gt=0.0, le=1.0)] = 1 / 3
    """Part of the features that a split looks at."""
    temperature: str = "ISMN-temperature"
    """Folder or zip below `granules` (or a URL) in ISMN's layout with soil temperature, against
    which maps are held; nothing learns from it. "" for none, and done without where absent."""
    balanced: bool = True
    """States weigh alike while trees are grown, however rare one is; probabilities stay those of
    the rows as they are."""
    decision: Literal["likeliest", "balanced"] = "likeliest"
    """The state of a map: the most probable one, or `balanced`, the one whose probability times the
    weight of its class is largest, which finds more of a rare state and is wrong more often."""


class SeamlessConfig(_Section):
    """How the network that fills gaps is trained and used; only `seamless` reads it."""

    held_out_year: int = 0
    """Training year that is not fitted and ends the training; the last one by default."""
    channels: Positive = 32
    """Features of each branch of the network."""
    mid_layers: Positive = 8
    """Times that its middle layer is applied."""
    lstm_hidden: Positive = 16
    """Memory of its recurrent cells."""
    patch_cells: Annotated[int, Field(ge=4)] = 40
    """Side of the squares that it learns from; less in a small region."""
    patch_stride: Positive = 10
    """Cells from one square to the next."""
    complete_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Least share of a square that is known on its day; less where complete ones are rare."""
    keep_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Share of the squares that are kept."""
    epochs: Positive = 60
    steps: Positive = 40
    """Batches of one epoch."""
    batch: Positive = 32
    learning_rate: float = Field(default=3e-3, gt=0.0)
    patience: Positive = 12
    """Epochs without a better score on the year held out after which training ends."""
    threads: Positive = 1
    """Threads of the training. Equal numbers give equal bits."""
    segment_days: Literal[46, 92, 184, 368] = 46
    """Days of a year that one task fills and keeps."""
    spin_up_days: Annotated[int, Field(ge=0, le=366)] = 30
    """Days that it fills before them, across the border of years where there is a cube."""
    masked: tuple[Literal["swath", "failed", "frozen", "dense", "outage", "unknown"], ...] = (
        "frozen",
    )
    """Reasons of gaps that stay unknown; [] fills every gap."""
    hiding_rounds: Annotated[int, Field(ge=1, le=9)] = 3
    """Rounds of simulated gaps in `validate`, each with other days; 9 hide every day once."""


class CompareConfig(_Section):
    """Which other products the produced maps are compared with."""

    products: tuple[str, ...] = ()
    """Sources such as ``cci_combined`` (0.25 degree), ``smap_sentinel`` (1 km); none by default."""
    third: str = ""
    """Third member of triple collocation maps, such as ``smap_l3``; without it there are none."""
    minimum_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Least share of a coarse cell's land pixels with a value for its area mean to be known."""
    window_days: Annotated[int, Field(ge=5)] = 35
    """Days of the moving mean that anomalies leave out."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Return every source that the comparison reads, each once."""
        named = (*self.products, self.third) if self.third and self.products else self.products
        return tuple(dict.fromkeys(named))


class PublishConfig(_Section):
    """What is written for people."""

    days: tuple[str, ...] = ()
    """Days (YYYY-MM-DD) exported as COG; the middle of each season by default, ["all"] for every
    day."""
    geotiff: bool = False
    """Also write each of these days as one GeoTIFF of the whole region, in m3 m-3, nodata -9999."""


class ClusterConfig(_Section):
    """The Dask cluster."""

    scheduler: str = ""
    """Address of a running scheduler; a local cluster is started without one."""
    workers: Positive | None = None
    """Processes of the local cluster; one per core by default."""
    threads: Positive = 1
    memory: str = "2GiB"
    """Limit of one worker."""
    dashboard: str = ":0"


class RunConfig(_Section):
    """One run of one product."""

    product: str
    years: Annotated[tuple[int, ...], Field(min_length=1)]
    tiles: Annotated[tuple[str, ...], Field(min_length=1)]
    """Sinusoidal tiles; ``["globe"]``, all that have land, for products on a coarse grid."""
    store: StoreConfig
    drivers: dict[str, str] = {}
    """Sources in place of the product's own, where it leaves a choice: ``soil = "china_soil"``."""
    ingest: IngestConfig = IngestConfig()
    stations: StationsConfig = StationsConfig()
    train: TrainConfig = TrainConfig()
    tune: TuneConfig | None = None
    selection: SelectionConfig = SelectionConfig()
    produce: ProduceConfig = ProduceConfig()
    downscale: DownscaleConfig = DownscaleConfig()
    ground: GroundConfig = GroundConfig()
    seamless: SeamlessConfig = SeamlessConfig()
    compare: CompareConfig = CompareConfig()
    publish: PublishConfig = PublishConfig()
    cluster: ClusterConfig = ClusterConfig()
    stages: tuple[Stage, ...] = STAGES
    """What `smcloud run` does, in its own order; a study of stations needs no `produce`."""

    @property
    def layout(self) -> Layout:
        """Return where everything of this run lies."""
        return Layout(self.store.root)

    @property
    def model_name(self) -> str:
        """Return the name of the model that this run trains or uses."""
        return self.train.model or self.product

    @property
    def training_years(self) -> tuple[int, ...]:
        """Return the years of the station table."""
        return self.train.years or self.years

    @property
    def ingested_years(self) -> tuple[int, ...]:
        """Return the years that cubes are made of: the run's and those it trains on, ascending."""
        return tuple(sorted({*self.years, *self.training_years}))

    @property
    def produced_tiles(self) -> tuple[str, ...]:
        """Return the tiles that maps are made of."""
        return self.produce.tiles or self.tiles

    @property
    def produced_years(self) -> tuple[int, ...]:
        """Return the years that maps are made of."""
        return self.produce.years or self.years

    @property
    def reference_sources(self) -> tuple[str, ...]:
        """Return the products of others that selection and comparison read, each once."""
        return tuple(dict.fromkeys((*self.selection.sources, *self.compare.sources)))

    @property
    def read_ahead(self) -> bool:
        """Return whether workers read the next block while one is computed."""
        chosen = self.produce.read_ahead
        return self.store.root.startswith(BUCKETS) if chosen is None else chosen

    @property
    def station_archive(self) -> str:
        """Return the URL of the station archive; empty for none."""
        return self._below_granules(self.stations.archive)

    @property
    def station_csv(self) -> str:
        """Return the URL of the plain CSV of stations; empty for none."""
        return self._below_granules(self.stations.csv)

    @property
    def station_temperature(self) -> str:
        """Return the URL of soil temperature at stations; empty for none."""
        return self._below_granules(self.ground.temperature)

    def _below_granules(self, place: str) -> str:
        if "://" in place:
            return place
        return join(self.store.granules, place) if self.store.granules and place else ""

    def cube_prefix(self, source: str) -> str:
        """Return the URL prefix of the cubes of a source: the user's own, or those ingested."""
        return self.ingest.cubes.get(source) or self.layout.cubes(source)


def load_config(path: str | Path) -> RunConfig:
    """Return the run that a TOML file describes.

    Raises
    ------
    ConfigError
        If the file is absent, is not TOML, or has an unknown key or an unusable value.
    """
    try:
        text = Path(path).read_bytes().decode()
    except FileNotFoundError as err:
        raise ConfigError(f"no run file {path}: examples/glass-sm.toml is one to copy") from err
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path} cannot be read as a TOML text file: {err}") from err
    try:
        return RunConfig.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{path} is not valid TOML: {err}") from err
    except ValidationError as err:
        raise ConfigError(f"{path}: {_explain(err)}") from err


def _explain(err: ValidationError) -> str:
    """Return the first fault of a run file in one line."""
    fault = err.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    more = f" (and {err.error_count() - 1} more)" if err.error_count() > 1 else ""
    if fault["type"] == "extra_forbidden":
        known = ", ".join(sorted(_section_at(fault["loc"][:-1]).model_fields))
        return f"unknown key {where!r}: expected one of {known}{more}"
    if fault["type"] == "missing":
        return f"the key {where!r} is missing{more}"
    if fault["type"] == "too_short":
        return f"{where} is empty: expected one at least{more}"
    return f"{where} = {fault.get('input')!r}: {fault['msg']}{more}"


def _section_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = RunConfig
    for part in loc:
        found = section.model_fields[str(part)].annotation
        for kind in (found, *get_args(found)):  # an optional section is `Section | None`
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                section = kind
    return section
