"""The part of a report that tells where everything comes from."""

import json
import platform
from importlib.metadata import version

from smcloud.core.config import RunConfig
from smcloud.models.base import ModelCard
from smcloud.models.freeze_thaw_files import FreezeThawCard
from smcloud.models.seamless_files import SeamlessCard
from smcloud.production.downscalers import DownscalerCard
from smcloud.production.store_year import StoreYear
from smcloud.products.base import Product
from smcloud.validation import report
from smcloud.version import __version__

FOOTER = f"Made by smcloud {__version__}. This page loads nothing from elsewhere."
AnyCard = ModelCard | DownscalerCard
ShownCard = AnyCard | FreezeThawCard | SeamlessCard
PACKAGES = (
    "numpy", "pandas", "xarray", "zarr", "dask", "distributed", "scikit-learn", "xgboost-cpu",
    "xgboost", "torch",
)  # fmt: skip


def provenance_section(
    config: RunConfig, product: Product, card: ShownCard | None, year: StoreYear | None = None
) -> report.Section:
    """Return the section of store, model, versions and run file; without a year, of the model."""
    rows = {} if card is None else {"Model": f"{card.name}, sha256 {card.whole_sha256}"}
    if year is not None:
        keys = [f"produce/{product.name} {tile}" for tile in sorted(year.tiles)]
        rows |= {
            "Store": year.store_url,
            "Version": year.version,
            "Ledger": f"{config.layout.ledger}: {', '.join(keys)}, {year.year}",
        }
    rows |= {
        "smcloud": f"{__version__}, Python {platform.python_version()}",
        "Packages": ", ".join(_versions()),
    }
    pieces = [report.facts(rows)]
    if card is not None:
        pieces.append(report.folded("Model card", report.code(card.to_json().decode())))
    text = json.dumps(config.model_dump(mode="json"), indent=1, sort_keys=True)
    pieces.append(report.folded("Run file", report.code(text)))
    return report.Section("provenance", "Where it comes from", pieces)


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except ModuleNotFoundError:
            continue
    return found
