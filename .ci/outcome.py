"""Print one line with the outcome of a pytest run; fail when a data test was skipped with the data there.

Usage: outcome.py JUNIT_XML
"""

from __future__ import annotations

import os
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(report: Path) -> int:
    """Return the exit status for the run whose JUnit file is `report`."""
    if not report.is_file():
        print("0 passed, 0 failed: no test was run")
        return 1
    data = Path(os.environ.get("SEISFAST_DATA", ROOT.parent / "shared" / "data"))
    failed = skipped = passed = 0
    missed = []
    for case in ElementTree.parse(report).iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is None:
            passed += 1
        elif skip.get("type") != "pytest.xfail":
            skipped += 1
            if data.is_dir() and "data" in skip.get("message", "").lower():
                missed.append(f"{case.get('classname')}::{case.get('name')}: {skip.get('message')}")
    for line in missed:
        print(f"skipped although {data} exists: {line}")
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if missed or failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
