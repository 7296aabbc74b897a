"""What the CF checker has against a NetCDF file, less a fault of its own."""

import re
from pathlib import Path

from compliance_checker.runner import CheckSuite, ComplianceChecker

# The checker takes the one name of an attribute for a list and asks for each of its letters.
CHECKER_FAULT = re.compile(r"\* . is a required attribute for grid mapping")


def cf_faults(path: str, folder: Path) -> list[str]:
    """Return the lines of the checker's report that are faults of the file."""
    CheckSuite.load_all_available_checkers()
    report = folder / "cf-report.txt"
    ComplianceChecker.run_checker(
        path.removeprefix("file://"), ["cf:1.11"], 0, "normal", output_filename=str(report)
    )
    lines = report.read_text().splitlines()
    return [line for line in lines if line.startswith("* ") and not CHECKER_FAULT.match(line)]
