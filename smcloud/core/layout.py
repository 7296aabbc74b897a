"""Where everything lies below a product root: the only place that spells a key."""

from dataclasses import dataclass


def join(url: str, *parts: str) -> str:
    """Return `url` and `parts` joined by single slashes."""
    return "/".join([url.rstrip("/"), *(part.strip("/") for part in parts if part)])


def year_store(year: int | None) -> str:
    """Return the name of one year's Zarr store; None is the static store."""
    return "static.zarr" if year is None else f"{year:04d}.zarr"


@dataclass(frozen=True)
class Layout:
    """URLs below one root (a bucket prefix or a folder)."""

    root: str

    def cubes(self, source: str) -> str:
        """Return the prefix that holds the driver cubes of `source`, one store per year."""
        return join(self.root, "cubes", source)

    def index(self, source: str) -> str:
        """Return the Parquet granule index of `source`."""
        return join(self.root, "index", f"{source}.parquet")

    @property
    def stations(self) -> str:
        """Return the prefix of the station data set (stations.parquet, daily/)."""
        return join(self.root, "stations")

    def table(self, name: str) -> str:
        """Return the prefix of a sample table, a Parquet data set."""
        return join(self.root, "tables", name)

    def model(self, name: str) -> str:
        """Return the prefix of a model and its card."""
        return join(self.root, "models", name)

    def product(self, product: str, year: int) -> str:
        """Return the prefix of one product year: its versions and its pointer."""
        return join(self.root, "products", product, f"{year:04d}")

    def store(self, product: str, year: int, version: str) -> str:
        """Return the URL of one version's Zarr store."""
        return join(self.product(product, year), f"{version}.zarr")

    def receipts(self, product: str, year: int, version: str) -> str:
        """Return the prefix of the receipts that workers leave, one per block."""
        return join(self.root, "receipts", product, f"{year:04d}", version)

    def work(self, product: str, year: int, version: str) -> str:
        """Return the prefix of what the passes of one version leave each other; never published."""
        return join(self.root, "work", product, f"{year:04d}", version)

    @property
    def ledger(self) -> str:
        """Return the prefix of the ledger."""
        return join(self.root, "ledger")

    def lease(self, product: str) -> str:
        """Return the prefix of the lease epochs of one product."""
        return join(self.root, "lease", product)

    def reports(self, product: str) -> str:
        """Return the prefix of reports, score tables and pictures."""
        return join(self.root, "reports", product)

    def published(self, product: str, year: int) -> str:
        """Return the prefix of the COG files, STAC items and maps of one product year."""
        return join(self.root, "published", product, f"{year:04d}")


POINTER = "current.json"
