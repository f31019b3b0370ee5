"""``make scale``: what the operator costs by how much there is, on a real control plane and the lab as processes."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import fields
from pathlib import Path

from tests.kube.controlplane import ControlPlane, ensure
from tests.scale.objects import Size
from tests.scale.run import Measured, measure
from tests.scale.table import table


def main() -> int:
    parser = argparse.ArgumentParser(prog="make scale", description=__doc__)
    for field in fields(Size):
        kind = float if field.name in ("task", "rest") else int
        parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was measured here too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs of all parts there")
    args = parser.parse_args()
    size = Size(**{field.name: getattr(args, field.name) for field in fields(Size)})
    ensure()
    with tempfile.TemporaryDirectory(prefix="pve-evpn-scale-") as name:
        folder = args.keep or Path(name)
        with ControlPlane(folder / "kubernetes") as plane:
            measured: Measured = measure(size, plane, folder)
    print(table(size, measured))
    text = json.dumps(measured.as_dict(), indent=2)
    if args.json:
        args.json.write_text(text + "\n")
    print(f"\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
