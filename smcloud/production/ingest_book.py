"""The ledger's view of an ingest: receipts of tasks folded into one record a tile-year."""

from collections import Counter
from collections.abc import Sequence

from smcloud.grids.tiles import TileYear
from smcloud.ingest.plan import IngestTask
from smcloud.ingest.receipts import IngestReceipt
from smcloud.production.ledger import Ledger, Record, combined_hash


class ReceiptBook:
    """Folds receipts into one ledger record a tile-year, written when its last task is done."""

    def __init__(self, ledger: Ledger, tasks: Sequence[IngestTask]) -> None:
        self._ledger = ledger
        self._open = Counter(str(task.key) for task in tasks)
        self._held: dict[str, list[IngestReceipt]] = {}
        years = sorted({task.key.year for task in tasks}, key=str)
        self._years = years
        self._known = {key: r for year in years for key, r in ledger.records(year).items()}

    def add(self, receipt: IngestReceipt) -> None:
        """Take one receipt; write the record of its tile-year if it is the last one."""
        held = self._held.setdefault(receipt.key, [])
        held.append(receipt)
        if len(held) < self._open[receipt.key]:
            return
        record = folded(self._ledger.stage, held)
        known = self._known.get(record.key)
        if known is None or (known.input_hash, known.shards) != (record.input_hash, record.shards):
            self._ledger.write(record)

    def close(self) -> None:
        """Fold the records, so that `status` reads one object a year."""
        for year in self._years:
            self._ledger.snapshot(year)


def folded(stage: str, receipts: Sequence[IngestReceipt]) -> Record:
    """Return the ledger record of one tile-year from the receipts of all its tasks."""
    ordered = sorted(receipts, key=lambda receipt: receipt.slab)
    missing = [f"no granule for {day}" for receipt in ordered for day in receipt.missing]
    damaged = [str(bad) for receipt in ordered for bad in receipt.damaged]
    return Record(
        stage=stage,
        key=TileYear.parse(ordered[0].key),
        input_hash=combined_hash([receipt.input_hash for receipt in ordered]),
        shards={key: sha for receipt in ordered for key, sha in sorted(receipt.shards.items())},
        figures={
            "granules": sum(receipt.granules_read for receipt in ordered),
            "bytes_read": sum(receipt.bytes_read for receipt in ordered),
            "bytes_written": sum(receipt.bytes_written for receipt in ordered),
            "seconds": round(sum(receipt.seconds for receipt in ordered), 3),
            "peak_bytes": max(receipt.peak_bytes for receipt in ordered),
        },
        problems=(*missing, *damaged),
    )
