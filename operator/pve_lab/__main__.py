"""``python -m pve_lab``: the lab as a process."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from pve_lab.admin import AdminServer
from pve_lab.client_examples import api_clients, node_access
from pve_lab.dataplane.create import NAMES, create
from pve_lab.faults import KINDS, Fault, parse
from pve_lab.frr.topology import Unavailable
from pve_lab.guests import read_guests
from pve_lab.lab import Lab, seed
from pve_lab.server import LabServer


def fault(text: str) -> Fault:
    """The value of ``--fault``; argparse shows a ValueError's text as usage error."""
    try:
        return parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m pve_lab", description="An embedded Proxmox VE cluster.")
    parser.add_argument("--port", type=int, default=8006)
    parser.add_argument("--nodes", default="pve1,pve2,pve3,pve4", help="comma-separated node names")
    parser.add_argument("--plain-http", action="store_true", help="no TLS")
    parser.add_argument("--empty", action="store_true", help="bare nodes as in the recordings: no fabric, no guests")
    parser.add_argument("--guests", type=Path, metavar="FILE", help="guests from a JSON file, instead of the seed's")
    parser.add_argument(
        "--ifupdown2",
        action=argparse.BooleanOptionalAction,
        help="nodes that can reload and have a status of their zones",
    )
    parser.add_argument("--token", default="root@pam!tok=secret", help="user@realm!name=secret")
    parser.add_argument("--password", default="root@pam=secret", help="user@realm=password, for logins")
    parser.add_argument("--pve-version", default="9.1", help="8.4, 9.0, 9.1 (the one that was measured) or 9.2")
    parser.add_argument("--refusal-seconds", type=float, default=3, help="how long the 401 of a wrong token takes")
    parser.add_argument("--ca-file", type=Path, help="write the CA's certificate here")
    parser.add_argument("--dataplane", choices=NAMES, default="model", help="frr: real FRR, needs root")
    parser.add_argument(
        "--ageing-seconds", type=float, default=300, help="with frr: after how long a silent MAC ages out"
    )
    parser.add_argument("--task-seconds", type=float, default=0.5, help="how long an apply takes, and every other task")
    parser.add_argument(
        "--clock-offset", type=float, default=0, metavar="SECONDS", help="how far the nodes' clocks are ahead of ours"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all random values and faults")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=fault,
        metavar="NAME[:KEY=VALUE,...]",
        help=", ".join(sorted(KINDS)),
    )
    parser.add_argument("--admin-port", type=int, help="faults and guests while it runs; GET / on it lists all")
    args = parser.parse_args()
    lab = Lab(
        args.nodes.split(","),
        version=args.pve_version,
        task_seconds=args.task_seconds,
        seed=args.seed,
        clock_offset=args.clock_offset,
    )
    name, _, secret = args.token.partition("=")
    lab.tokens[name] = secret
    user, _, password = args.password.partition("=")
    lab.tickets.passwords[user] = password
    lab.refusal_seconds = args.refusal_seconds
    if not args.empty:
        seed(lab)
    if args.guests:
        try:
            lab.guests = read_guests(args.guests)
        except (OSError, ValueError) as problem:
            parser.error(f"--guests: {problem}")
    for node in lab.nodes.values():
        node.ifupdown2 = args.ifupdown2 is not False
        if args.empty and args.ifupdown2 is None:
            node.strip()
    try:
        plane = create(lab, args.dataplane, ageing_seconds=args.ageing_seconds)
    except Unavailable as problem:
        print(f"--dataplane {args.dataplane}: {problem}", file=sys.stderr)
        return 1
    for number, chosen in enumerate(args.fault, 1):
        try:
            lab.faults.add(chosen)
        except ValueError as problem:
            print(f"--fault (number {number}): {problem}", file=sys.stderr)
            plane.close()
            return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = LabServer(lab, args.port, plain_http=args.plain_http)
    if args.ca_file and server.ca_pem:
        args.ca_file.write_text(server.ca_pem)
    print(f"Proxmox VE lab ({args.nodes}) on {server.url}, token {name}", flush=True)
    print(node_access(plane), flush=True)
    print(api_clients(server.url, name, secret, args.ca_file if server.ca_pem else None), flush=True)
    with contextlib.ExitStack() as stop:
        if args.admin_port is not None:
            print(f"faults and guests: {stop.enter_context(AdminServer(lab, args.admin_port)).url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
        # A parent process may forward a signal that has arrived here already; it must not interrupt the end.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    plane.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
