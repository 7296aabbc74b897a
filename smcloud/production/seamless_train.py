"""The train stage of seamless: patches cut on the cluster, then one task that trains the network.

Patches of each slab of days lie in the store until the network is trained; a run that was stopped
cuts only what is missing, and training goes on from its last checkpoint.
"""

import io
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from distributed import Client

from smcloud.core.config import RunConfig
from smcloud.core.errors import (
    ConfigError,
    ModelError,
    NotFoundError,
    PlanError,
    StoreError,
    UserError,
)
from smcloud.core.layout import join
from smcloud.core.listener import Listener, counted
from smcloud.core.objects import open_objects
from smcloud.grids.tiles import GLOBE, TileYear
from smcloud.ingest.plan import FLOAT32_BYTES, PROCESS_BYTES
from smcloud.models.gap_patches import (
    Bools,
    Patches,
    PatchRules,
    StoredPatches,
    cut_patches,
    joined,
    swath_masks,
    window_counts,
)
from smcloud.models.gap_reasons import GapReason
from smcloud.models.seamless_files import (
    SeamlessCard,
    card_of,
    load_net_card,
    require_torch,
    save_net,
)
from smcloud.models.seamless_rules import NETWORK, SeamlessShape, TrainingRules
from smcloud.production.block_map import run_listed
from smcloud.production.cluster import (
    refuse_memory_urls,
    smallest_worker_bytes,
)
from smcloud.production.ledger import Ledger, Record, combined_hash
from smcloud.production.runner import Task, run_tasks
from smcloud.production.seamless_inputs import (
    GapFields,
    Region,
    RunInputs,
    inputs_of,
    year_normals,
)
from smcloud.products.base import Product
from smcloud.products.seamless import SCHEMA

log = logging.getLogger(__name__)

FORMAT = 3
"""Raised when equal fields and rules give other patches."""
SLAB_DAYS = 46
"""Days whose patches one task cuts."""
PART_BYTES = 128 * 2**20
"""Patches that are cut before they are stored, as far as one day of them is not more."""
COPIES = 4
"""Times that these patches lie in memory while they are cut, joined and stored."""
BYTES_A_CELL_DAY = 20
"""Moisture, rain, reasons, what is known, and a cube's values while they are read."""
MOST_MASKS, MOST_HELD_OUT = 20_000, 1024
"""Windows of gaps that are drawn from, and patches that the network is scored on after each epoch;
of more, every so many-th."""
MASKS, NOTE = "masks.npz", "json"


@dataclass(frozen=True)
class CutTask:
    """One slab of days to cut patches from: URLs, keys and records, never data."""

    fields: GapFields
    region: Region
    rules: PatchRules
    year: int
    slab: int
    folder: str

    @property
    def name(self) -> str:
        """Return the readable key, as ``patches-2015-s03``, which names what is stored too."""
        return f"patches-{self.year}-s{self.slab:02d}"

    @property
    def days_at_once(self) -> int:
        """Return the days whose patches are cut and stored together: one at least."""
        return max(PART_BYTES // max(day_bytes(self.region, self.rules), 1), 1)


@dataclass(frozen=True)
class Cut:
    """What a slab gave: patches in each of its parts, and windows of gaps."""

    name: str
    year: int
    parts: tuple[int, ...]
    masks: int

    @property
    def patches(self) -> int:
        """Return the patches of all parts."""
        return sum(self.parts)

    def keys(self) -> list[str]:
        """Return the keys of the parts that have patches."""
        return [part_key(self.name, part) for part, n in enumerate(self.parts) if n]


def part_key(name: str, part: int) -> str:
    """Return the key of a part of a slab's patches."""
    return f"{name}-p{part:02d}.npz"


@dataclass(frozen=True)
class NetTask:
    """The training: URLs, keys and records, never data.

    Attributes
    ----------
    folder : str
        Where the patches lie.
    learned, held_out : tuple of Cut
    """

    name: str
    models: str
    folder: str
    learned: tuple[Cut, ...]
    held_out: tuple[Cut, ...]
    shape: SeamlessShape
    rules: TrainingRules
    versions: dict[str, str]
    input_hash: str


@dataclass(frozen=True)
class SeamlessSummary:
    """What the stage did; `repeated`: an equal training was finished before."""

    card: SeamlessCard
    repeated: bool
    made: int
    """Slabs cut by this run."""


def run_train(
    config: RunConfig, product: Product, client: Client | None, listener: Listener
) -> SeamlessSummary:
    """Cut patches, train the network and note it in the ledger; nothing where that was done.

    Raises
    ------
    MissingExtraError
        If torch is not installed.
    ConfigError
        If there is no year to learn from beside the one held out.
    NotFoundError
        If cubes were not ingested.
    UserError
        If nothing was observed, or there are no complete squares to learn from.
    """
    require_torch()
    refuse_memory_urls(client, (config.store.root, *config.ingest.cubes.values()))
    learned, held_out = years_of(config)
    inputs = inputs_of(config, client, listener)
    rules, shape, training = rules_of(config)
    check_memory(inputs.region, rules, client)
    states = inputs.states_in([*learned, held_out])
    cut_hash = combined_hash([FORMAT, states, inputs.region.sha256, asdict(rules)])
    whole = combined_hash([NETWORK, cut_hash, held_out, asdict(shape), asdict(training)])
    models = config.layout.model("")
    before = _known(models, config.model_name, whole)
    if before is not None:
        listener.note(f"model {before.name}: trained before on the same fields")
        return SeamlessSummary(before, True, 0)
    folder = join(config.layout.table(f"{config.model_name}-patches"), cut_hash[:16])
    cuts, made = _cut(inputs, rules, [*learned, held_out], folder, client, listener)
    task = NetTask(
        config.model_name,
        models,
        folder,
        tuple(one for one in cuts if one.year != held_out),
        tuple(one for one in cuts if one.year == held_out),
        shape,
        training,
        {"product": str(product.version), "schema": str(SCHEMA.version)},
        whole,
    )
    card = _trained(task, client, listener)
    _tidy(config)
    _note_in_ledger(config, card, [*learned, held_out])
    return SeamlessSummary(card, False, made)


def years_of(config: RunConfig) -> tuple[tuple[int, ...], int]:
    """Return the years that are fitted, and the one that ends the training.

    Raises
    ------
    ConfigError
        If there is none of either.
    """
    years = sorted(set(config.training_years))
    held_out = config.seamless.held_out_year or years[-1]
    if held_out not in years:
        listed = ", ".join(map(str, years))
        raise ConfigError(f"seamless.held_out_year {held_out} is no training year: have {listed}")
    learned = tuple(year for year in years if year != held_out)
    if not learned:
        raise ConfigError(
            f"a network needs a year to learn from beside {held_out}, which is held out: name two "
            "years at least as train.years"
        )
    return learned, held_out


def rules_of(config: RunConfig) -> tuple[PatchRules, SeamlessShape, TrainingRules]:
    """Return what a run file says of patches, network and training."""
    said = config.seamless
    shape = SeamlessShape(said.channels, said.mid_layers, lstm_hidden=said.lstm_hidden)
    patches = PatchRules(
        size=said.patch_cells,
        stride=said.patch_stride,
        days=shape.days,
        complete_share=said.complete_share,
        keep_share=said.keep_share,
        seed=config.train.seed,
    )
    training = TrainingRules(
        epochs=said.epochs,
        steps=said.steps,
        batch=said.batch,
        learning_rate=said.learning_rate,
        patience=said.patience,
        seed=config.train.seed,
        threads=said.threads,
        device=config.train.device,
    )
    return patches, shape, training


def _known(models: str, name: str, input_hash: str) -> SeamlessCard | None:
    """Return the card of an equal training that was finished before, or None."""
    objects = open_objects(models)
    try:
        card = load_net_card(objects, name)
    except (ModelError, NotFoundError):
        return None  # none, or one of another kind: it is trained and written anew
    there = objects.exists(f"{name}/{card.sha256}.safetensors")
    return card if there and card.input_hash == input_hash else None


def _cut(
    inputs: RunInputs,
    rules: PatchRules,
    years: Sequence[int],
    folder: str,
    client: Client | None,
    listener: Listener,
) -> tuple[list[Cut], int]:
    """Return what each slab of the years gave, and how many of them were cut now."""
    tasks = [
        CutTask(inputs.fields, inputs.region, rules, year, slab, folder)
        for year in sorted(years)
        for slab in range(-(-len(SCHEMA.times(year)) // SLAB_DAYS))
    ]
    objects = open_objects(folder)
    stored = {info.key for info in objects.list()}
    found = {
        task.name: _noted(objects.get(f"{task.name}.{NOTE}"))
        for task in tasks
        if f"{task.name}.{NOTE}" in stored
    }
    waiting = [task for task in tasks if task.name not in found]
    named = [Task(task.name, cut_slab, (task,)) for task in waiting]
    cuts = run_listed(named, "cut patches", "slabs", client, listener)
    found |= {task.name: cut for task, cut in zip(waiting, cuts, strict=True)}
    return [found[task.name] for task in tasks], len(waiting)


def _noted(note: bytes) -> Cut:
    """Return what `cut_slab` said of a slab that an earlier run cut."""
    said = json.loads(note)
    return Cut(**{**said, "parts": tuple(said["parts"])})


def cut_slab(task: CutTask) -> Cut:
    """Cut and store the patches and gaps of one slab of days: the task of a worker.

    Days of other years are not looked at: patches of the year held out share nothing with others.
    """
    days, rules = SCHEMA.times(task.year), task.rules
    first, last = task.slab * SLAB_DAYS, min((task.slab + 1) * SLAB_DAYS, len(days))
    window, land = task.region.window, task.region.land()
    normals = year_normals(task.fields, task.region, task.year)
    objects, parts = open_objects(task.folder), list[int]()
    for begin in range(first, last, task.days_at_once):
        end = min(begin + task.days_at_once, last)
        wide = days[max(begin - rules.days, 0) : end + rules.days]
        moisture, rain = task.fields.observed(wide, window), task.fields.wetted(wide, window)
        patches = cut_patches(wide, moisture, land, rain, rules, normals)
        if len(patches):
            objects.put(part_key(task.name, len(parts)), patches.to_bytes())
        parts.append(len(patches))
    missed = task.fields.reasons(days[first:last], window) == GapReason.SWATH
    masks = swath_masks(days[first:last], missed, land, rules)
    file = io.BytesIO()
    np.savez_compressed(file, masks=np.packbits(masks), shape=np.array(masks.shape))
    objects.put(f"{task.name}.{MASKS}", file.getvalue())
    cut = Cut(task.name, task.year, tuple(parts), len(masks))
    objects.put(f"{task.name}.{NOTE}", json.dumps(asdict(cut), sort_keys=True).encode())
    return cut


def day_bytes(region: Region, rules: PatchRules) -> int:
    """Return the bytes of the patches of a day that is complete."""
    squares = int((window_counts(region.land(), rules) == rules.size**2).sum())
    fields = 2 * FLOAT32_BYTES * (2 * rules.days + 1) * rules.size**2
    return int(squares * rules.keep_share * fields)


def slab_bytes(region: Region, rules: PatchRules) -> int:
    """Return the peak bytes of cutting one slab, generously; gaps of swaths are as many as days."""
    own = day_bytes(region, rules)
    rows, cols = region.window.shape
    squares = own // (2 * FLOAT32_BYTES * (2 * rules.days + 1))
    fields = rows * cols * (SLAB_DAYS + 2 * rules.days) * BYTES_A_CELL_DAY
    return fields + COPIES * max(PART_BYTES, own) + 2 * SLAB_DAYS * squares


def check_memory(region: Region, rules: PatchRules, client: Client | None) -> None:
    """Raise `PlanError` if a slab of patches cannot fit the smallest worker."""
    room = smallest_worker_bytes(client) if client else 0
    needed = slab_bytes(region, rules) + PROCESS_BYTES
    if room and needed > room:
        raise PlanError(
            f"cutting squares of {SLAB_DAYS} days needs {needed / 1e9:.1f} GB, but the smallest "
            f"worker has {room / 1e9:.1f} GB: lower seamless.keep_share, or start fewer workers, "
            "each with more memory"
        )


def _trained(task: NetTask, client: Client | None, listener: Listener) -> SeamlessCard:
    """Train on one worker and return the card."""
    counts = [sum(one.patches for one in part) for part in (task.learned, task.held_out)]
    if not all(counts):
        raise UserError(
            f"{counted(counts[0], 'complete squares')} to learn from and {counts[1]:,} of the "
            "year held out: lower seamless.patch_cells or seamless.complete_share, or name more "
            "years"
        )
    found: list[SeamlessCard] = []
    listener.begin(f"train on {counts[0]:,} patches", 1, "networks")
    try:
        run_tasks(
            client,
            [Task(f"train-{task.name}", train_net, (task,))],
            window=1,
            on_done=lambda _, card: found.append(SeamlessCard.model_validate_json(card)),
            listener=listener,
        )
        listener.advance()
    finally:
        listener.end()
    return found[0]


def train_net(task: NetTask) -> bytes:
    """Train, store the network and return its card: the task of a worker."""
    from smcloud.models.seamless_training import train

    keys = [key for one in task.learned for key in one.keys()]
    last = StoredPatches(task.folder, [key for one in task.held_out for key in one.keys()])
    held_out = _thinned(last, sum(one.patches for one in task.held_out))
    masks = _masks(task)
    trained = train(
        StoredPatches(task.folder, keys),
        masks,
        held_out,
        task.shape,
        task.rules,
        input_hash=task.input_hash,
        checkpoints=_checkpoints(task.models, task.name),
    )
    years = [sorted({one.year for one in part}) for part in (task.learned, task.held_out)]
    named = [tuple(str(TileYear(SCHEMA.grid, GLOBE, y)) for y in part) for part in years]
    card = card_of(
        task.name,
        trained,
        task.shape,
        task.rules,
        counts=(sum(one.patches for one in task.learned), len(held_out), len(masks)),
        keys=(named[0], named[1]),
        versions=task.versions,
        input_hash=task.input_hash,
    )
    save_net(open_objects(task.models), task.name, trained.data, card)
    return card.to_json()


def _thinned(shards: StoredPatches, patches: int) -> Patches:
    """Return the patches of the year held out as one, every so many-th if they are too many.

    One shard is in memory at a time.
    """
    step = max(-(-patches // MOST_HELD_OUT), 1)
    found, before = [], 0
    for shard in shards:
        found.append(shard.take(np.arange(-before % step, len(shard), step)))
        before += len(shard)
    return joined(found)


def _masks(task: NetTask) -> Bools:
    """Return the windows of gaps of the years that are fitted."""
    objects, found = open_objects(task.folder), []
    for one in task.learned:
        with np.load(io.BytesIO(objects.get(f"{one.name}.{MASKS}")), allow_pickle=False) as file:
            shape = tuple(int(size) for size in file["shape"])
            flags = np.unpackbits(file["masks"])[: int(np.prod(shape))]
        found.append(flags.astype(bool).reshape(shape))
    masks = np.concatenate(found)
    return masks[:: max(-(-len(masks) // MOST_MASKS), 1)]


def _checkpoints(models: str, name: str) -> str:
    return join(models, name, "checkpoints")


def _tidy(config: RunConfig) -> None:
    """Delete patches and checkpoints of a finished training; without the right to, they stay."""
    from smcloud.models.seamless_training import forget_checkpoints

    forget_checkpoints(_checkpoints(config.layout.model(""), config.model_name))
    objects = open_objects(config.layout.table(f"{config.model_name}-patches"))
    try:
        for info in objects.list():
            objects.delete(info.key)
    except StoreError as err:
        log.warning("patches stay at %s: %s", objects.url, err)


def _note_in_ledger(config: RunConfig, card: SeamlessCard, years: Sequence[int]) -> None:
    """Record the model at each year that taught it or was held out."""
    ledger = Ledger(config.store.root, f"train/{card.name}")
    for year in sorted(years):
        key = TileYear(SCHEMA.grid, GLOBE, year)
        ledger.write(
            Record(
                ledger.stage,
                key,
                card.input_hash,
                {"card.json": card.sha256},
                figures={"rows": float(card.patches)},
            )
        )
