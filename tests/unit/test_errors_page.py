"""docs/errors.md says what the table of faults says."""

from pathlib import Path

from router.domain.faults import WIRE

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"


def test_the_page_lists_every_fault_as_the_table_has_it() -> None:
    rows = {
        tuple(cell.strip().strip("`") for cell in line.strip("|").split("|"))[:5]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| `")
    }

    assert {
        (fault.value, str(wire.http), wire.type, wire.code or "—", wire.grpc) for fault, wire in WIRE.items()
    } == rows
