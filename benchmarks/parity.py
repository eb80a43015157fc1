"""
Parity of each member of the demo: max |delta| from MLflow's own flavour, in ONNX Runtime and through Triton.

Reads what the demo's release proved and what its Triton answers now: at least 1,000 seeded rows a member.
`--data PATH` takes the members trained on UJIIndoorLoc; they are trained first where an earlier run left none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from report import report
from sextant_cli.demo.bay import simulate
from sextant_cli.demo.members import BAY, UJIINDOORLOC
from sextant_cli.demo.story import Folder, tell
from sextant_cli.demo.ujiindoorloc import read
from sextant_cli.narrator import Narrator
from sextant_export.receipt import Receipt, read_receipt
from sextant_export.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="nothing to shorten here")
    parser.add_argument("--data", type=Path, help="UJIIndoorLoc's folder")
    data = parser.parse_args().data
    folder = Folder(Path("var", "ujiindoorloc") if data else Path("var"))
    survey, recipe = (read(data), UJIINDOORLOC) if data else (simulate(), BAY)
    tell(survey, recipe, folder, Narrator())
    store = Store(folder.store)
    show(read_receipt(store, "locate", store.served_release("locate") or 1))


def show(receipt: Receipt) -> None:
    for name, member in receipt.members.items():
        proof, served = member["proof"], receipt.proof[name]
        for where, fact in (("onnx", proof), ("triton", served)):
            delta, allowed = fact["max_abs_delta"], fact["tolerance"]
            report(f"parity.{name}.{where}", delta, "m", target=f"<= {allowed:.2g}", ok=delta <= allowed)
        report(f"parity.{name}.rows", proof["rows"], "rows", target=">= 1000", ok=proof["rows"] >= 1000)
        report(f"parity.{name}.rows_on_an_edge", len(proof["edges"]), "rows")


if __name__ == "__main__":
    main()
