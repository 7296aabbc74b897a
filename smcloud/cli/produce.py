"""`smcloud plan`, `produce`, `status`, `verify`, `doctor`: a year of a product, and its health."""

import json
from typing import Annotated

import typer
from distributed import Client

from smcloud.cli.coarse_stages import own_stages
from smcloud.cli.console import RichListener, cluster_from, console, table
from smcloud.core.config import RunConfig
from smcloud.core.errors import IntegrityError, StoreError, UserError
from smcloud.core.listener import Listener, counted
from smcloud.grids.grid import TILE_PIXELS
from smcloud.production.doctor import examine
from smcloud.production.plan import check_fits, plan_year
from smcloud.production.planned import PassPlan, State, YearPlan
from smcloud.production.produce_stage import ProduceSummary, Redo, worker_bytes
from smcloud.production.produce_stage import run as run_stage
from smcloud.production.recipe import recipe_of
from smcloud.production.run_file import read_run
from smcloud.production.status import Status
from smcloud.production.status import status as status_of
from smcloud.production.verify import verify as verify_run
from smcloud.products.regions import REGIONS
from smcloud.products.registry import product_of

RunFile = Annotated[str, typer.Argument(help="A run file, such as examples/glass-sm.toml")]
REDO: dict[str, Redo] = {"missing": "missing", "damaged": "damaged", "all": "all"}
MIB = 2**20
DAYS = 365
DAMAGES_SHOWN = 50


def plan(file: RunFile) -> None:
    """Show what `produce` would do and need; refuse what cannot fit a worker."""
    config = read_run(file)
    product = product_of(config)
    own = own_stages(product)
    if own is not None:
        own.plan(config, product)
        return
    recipe = recipe_of(config)
    plans = [plan_year(recipe, year) for year in sorted(set(config.produced_years))]
    for year_plan in plans:
        show_plan(year_plan, config)
    for year_plan in plans:
        check_fits(year_plan, worker_bytes(config, None), config.cluster.threads)


def produce(
    file: RunFile,
    redo: Annotated[
        str,
        typer.Option(
            help="missing (default), damaged: verify and restore, all: a new revision of the year"
        ),
    ] = "missing",
) -> None:
    """Write and publish the years of a product; a second run does only what is missing."""
    if redo not in REDO:
        raise UserError(f"--redo {redo!r}: expected one of {', '.join(REDO)}")
    config = read_run(file)
    listener = RichListener()
    with cluster_from(config.cluster, listener) as client:
        produce_and_show(config, client, listener, redo=REDO[redo])


def produce_and_show(
    config: RunConfig, client: Client | None, listener: Listener, *, redo: Redo = "missing"
) -> None:
    """Produce the years of a run, whatever its product is, and print what was made."""
    product = product_of(config)
    own = own_stages(product)
    if own is not None:
        own.produce(config, product, client, listener, redo)
    else:
        show(run_stage(config, client, listener, redo=redo))


def status(
    file: RunFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs")] = False,
) -> None:
    """Show where each tile-year of a run stands, from the ledger and receipts alone."""
    rows = status_of(read_run(file))
    if as_json:
        print_json([row.to_json() for row in rows])
        return
    table(
        "Status",
        ["stage", "tile-year", "state", "version", "blocks", "land rows", "core s", "problems"],
        [_status_row(row) for row in rows],
    )
    for row in rows:
        if row.stored_bytes:
            console.print(
                f"  {row.version}: {row.stored_bytes / MIB:,.1f} MiB below work/ until "
                "it is published",
                markup=False,
            )
    for row in rows:
        for problem in row.problems:
            console.print(f"  {row.stage} {row.key}: {problem}", markup=False)


def verify(file: RunFile) -> None:
    """Read every shard back and compare its values with the ledger; damage ends with code 6."""
    config = read_run(file)
    listener = RichListener()
    with cluster_from(config.cluster, listener) as client:
        found = verify_run(config, client, listener)
    console.print(
        f"{counted(found.tile_years, 'tile-years')}, {counted(found.shards, 'shards')} checked"
    )
    for damage in found.damages[:DAMAGES_SHOWN]:
        console.print(f"  {damage}", markup=False)
    if found.damages:
        raise IntegrityError(
            f"{len(found.damages)} of {found.shards} shards are not what the ledger holds: "
            f"`smcloud produce {file} --redo damaged` restores them"
        )
    console.print("every shard holds what the ledger says")


def doctor(
    url: Annotated[str, typer.Argument(help="Where a run would write: s3://, gs://, a folder")],
) -> None:
    """Try what smcloud needs of a store: write, read, list, create only if absent, clock."""
    findings = examine(url)
    table(
        f"Doctor of {url}",
        ["property", "", "finding"],
        [[f.name, "good" if f.is_good else "BAD", f.text] for f in findings],
    )
    bad = [finding for finding in findings if not finding.is_good]
    if bad:
        raise StoreError(f"{url} is not fit for smcloud: {bad[0].name}: {bad[0].text}")


def show_plan(plan: YearPlan, config: RunConfig) -> None:
    """Print a plan: states of its tiles, what waits and what it needs, and what a year costs."""
    estimate = plan.estimate
    counts = ", ".join(f"{plan.count(state)} {state.value}" for state in State if plan.count(state))
    published = plan.pointer.version if plan.pointer else "nothing"
    table(
        f"Plan of {plan.year}, version {plan.version} (published: {published})",
        ["what", "how much"],
        [
            ["tile-years", counts],
            ["blocks to make", f"{sum(len(tile.waiting) for tile in plan.tiles):,}"],
            ["land rows", f"{estimate.rows:,}"],
            ["drivers read, uncompressed", f"{estimate.bytes_read / MIB:,.0f} MiB"],
            ["product written, uncompressed", f"{estimate.bytes_written / MIB:,.0f} MiB"],
            ["requests", f"{estimate.requests:,}"],
            *_work_rows(plan),
            ["memory of a block", f"{plan.memory.total() / MIB:,.0f} MiB"],
            ["core-hours", f"{estimate.core_hours:,.3f}"],
            ["cost", f"{estimate.cost:,.2f}"],
            *_year_rows(plan, config),
        ],
    )
    if any(one.rows for one in plan.passes):
        table(
            f"Passes of {plan.year}",
            ["pass", "tasks", "land rows", "memory of a task", "core-hours"],
            [_pass_row(one) for one in plan.passes],
        )


def _work_rows(plan: YearPlan) -> list[list[object]]:
    size = plan.estimate.work_bytes
    return [["below work/ until published, uncompressed", f"{size / MIB:,.0f} MiB"]] * bool(size)


def _year_rows(plan: YearPlan, config: RunConfig) -> list[list[object]]:
    """Return what a whole tile and the product's region take for a year at the plan's speed."""
    estimate, region = plan.estimate, REGIONS[config.product]
    speed = "as receipts say" if estimate.is_measured else "a round figure, before any receipt"
    hours = estimate.hours_of(DAYS * TILE_PIXELS**2)
    whole = estimate.hours_of(DAYS * region.land_pixels)
    cost = whole * config.produce.core_hour_price
    return [
        ["land rows a core-second", f"{estimate.rows_per_core_second:,.0f} ({speed})"],
        ["a year of a tile that is all land", f"{hours:,.2f} core-hours"],
        [f"a year of {region.name}", f"{whole:,.1f} core-hours, cost {cost:,.2f}"],
    ]


def _pass_row(one: PassPlan) -> list[object]:
    if not one.rows:
        tasks = "done"
    elif one.name == "visit":
        tasks = "where values clamp"
    else:
        tasks = counted(one.tasks, one.unit)
    return [
        one.name,
        tasks,
        f"{one.rows:,}",
        f"{one.total() / MIB:,.0f} MiB",
        f"{one.core_hours:,.4f}",
    ]


def show(summary: ProduceSummary) -> None:
    """Print what the produce stage did, one row a year."""
    table(
        f"Produced {summary.product}",
        [
            "year",
            "version",
            "made",
            "kept",
            "copied",
            "restored",
            "land rows",
            "rows/s",
            "peak MiB",
        ],
        [
            [
                year.year,
                year.version,
                year.made,
                year.kept,
                year.copied,
                year.repaired,
                f"{year.rows:,}",
                f"{year.rows / max(year.wall_seconds, 1e-6):,.0f}",
                f"{year.peak_bytes / MIB:,.0f}",
            ]
            for year in summary.years
        ],
    )
    for year in summary.years:
        if year.rows:
            steps = {**year.passes, **year.seconds}
            split = ", ".join(f"{step} {seconds:.1f}" for step, seconds in steps.items())
            console.print(f"  {year.year} core-seconds: {split}")
        console.print(f"  {year.store}", markup=False)


def print_json(body: object) -> None:
    """Print JSON without colours or wrapping, for programs."""
    console.print(json.dumps(body, indent=1, sort_keys=True), markup=False, highlight=False)


def _status_row(row: Status) -> list[object]:
    stage, _, before_blocks = row.stage.partition(": ")
    return [
        f"  {before_blocks}" if before_blocks else stage,
        str(row.key),
        row.state,
        row.version,
        f"{row.blocks} of {row.of}" if row.of else row.blocks,
        f"{row.rows:,}",
        f"{row.core_seconds:,.1f}",
        len(row.problems),
    ]


def register_doctor(app: typer.Typer) -> None:
    """Add the command that examines a store: it belongs to no step of the flow."""
    app.command()(doctor)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (plan, produce, status, verify):
        app.command()(command)
