"""What the commands print of years on coarse grids, whatever the product."""

from smcloud.cli.console import console, table
from smcloud.production.coarse_publish import YearFiles
from smcloud.production.coarse_year import CoarseSummary

MIB = 2**20


def show_years(summary: CoarseSummary) -> None:
    """Print what the produce stage did, one row a year."""
    table(
        f"Produced {summary.product}",
        ["year", "version", "made", "kept", "restored", "cell-days", "peak MiB"],
        [
            [
                year.year,
                year.version,
                year.made,
                year.kept,
                year.repaired,
                f"{year.rows:,}",
                f"{year.peak_bytes / MIB:,.0f}",
            ]
            for year in summary.years
        ],
    )
    for year in summary.years:
        console.print(f"  {year.store}", markup=False)


def show_files(found: YearFiles) -> None:
    """Print where the files of each year are."""
    for kind, urls in (("file", found.netcdf), ("map", found.maps)):
        for url in urls:
            console.print(f"{kind:<5} {url}", markup=False)
