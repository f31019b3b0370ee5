"""The admin port of the lab: begin and end faults, change guests, read the state and the requests so far.

Plain JSON over HTTP on loopback, without credentials. ``GET /`` lists all of it.

    curl :8007/faults -d '{"fault": "node-offline", "node": "pve3"}'
    curl :8007/faults/1 -X DELETE
    curl :8007/guests/100/stop -X POST
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pve_lab import faults
from pve_lab.errors import ApiError
from pve_lab.guests import Guest
from pve_lab.lab import Lab

_GUEST_ACTIONS = ("start", "stop", "restart", "silence", "speak", "move")


class Wrong(ValueError):
    """A request with a wrong value; its text is the answer."""


class AdminServer:
    """``with AdminServer(lab) as admin: admin.url``; closed with the process otherwise."""

    def __init__(self, lab: Lab, port: int = 0) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", port), _handler(Admin(lab)))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> AdminServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


class Admin:
    """The admin port without HTTP."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def answer(self, verb: str, path: str, body: Mapping[str, Any]) -> Any:
        """Carry out one request. Raises Wrong, or KeyError for an unknown path, fault or guest."""
        parts = [part for part in path.split("/") if part]
        match verb, parts:
            case "GET", []:
                return self._index()
            case "GET", ["faults"]:
                return [fault.shown() for fault in self._lab.faults.active]
            case "POST", ["faults"]:
                return self._begin(body)
            case "DELETE", ["faults"]:
                return self._lab.faults.clear()
            case "DELETE", ["faults", number] if number.isdigit():
                return self._lab.faults.remove(int(number))
            case "GET", ["state"]:
                return self._state()
            case "GET", ["journal"]:
                return [{"method": m, "path": p, "status": s} for m, p, s in self._lab.journal]
            case "DELETE", ["journal"]:
                return self._lab.journal.clear()
            case "POST", ["guests", vmid, action] if action in _GUEST_ACTIONS:
                return self._guest(vmid, action, body)
        raise KeyError(f"{verb} {path}: unknown; GET / lists the requests")

    def _index(self) -> dict[str, Any]:
        return {
            "GET /faults": "the faults in effect",
            "POST /faults": 'begin one: {"fault": NAME, PARAMETER: VALUE, ...}',
            "DELETE /faults/ID": "end one; without ID all",
            "GET /state": "nodes, guests, the lock, what is pending",
            "GET /journal": "every request so far; DELETE forgets them",
            "POST /guests/VMID/ACTION": f'{", ".join(_GUEST_ACTIONS)} (move: {{"target": NODE}})',
            "faults": {
                name: {"what": (kind.__doc__ or "").split("\n")[0], "parameters": faults.parameters(kind)}
                for name, kind in sorted(faults.KINDS.items())
            },
        }

    def _begin(self, body: Mapping[str, Any]) -> dict[str, Any]:
        name = body.get("fault")
        if not isinstance(name, str):
            raise Wrong('name one: {"fault": "node-offline", "node": "pve3"}')
        params = {key: value for key, value in body.items() if key != "fault"}
        return self._lab.faults.add(faults.make(name, params)).shown()

    def _state(self) -> dict[str, Any]:
        lab = self._lab
        lab.settle()
        return {
            "version": lab.version,
            "quorate": lab.quorate,
            "lock": lab.sdn.lock,
            "pending": lab.has_pending,
            "running-version": lab.sdn.version,
            "applies": lab.applies,
            "nodes": {
                node.name: {
                    "online": node.online, "loaded-version": node.applied_version, "changes": node.network.changes,
                }
                for node in lab.nodes.values()
            },
            "guests": {
                guest.vmid: {
                    "node": guest.node, "running": guest.running, "lock": guest.lock, "pending": sorted(guest.pending),
                    "nics": {key: nic.text() for key, nic in guest.nics().items()},
                }
                for guest in lab.guests.values()
            },
        }  # fmt: skip

    def _guest(self, vmid: str, action: str, body: Mapping[str, Any]) -> None:
        lab = self._lab
        with lab.mutex:
            guest = lab.guests.get(int(vmid)) if vmid.isdigit() else None
            if guest is None:
                raise KeyError(f"there is no guest {vmid}")
            if action == "move":
                target = str(body.get("target", ""))
                if target not in lab.nodes:
                    raise Wrong(f"target: there is no node {target!r}; there are {', '.join(lab.nodes)}")
                lab.move(guest, target)
            else:
                _ACTIONS[action](guest)
            lab.settle()


def _restart(guest: Guest) -> None:
    guest.stop()
    guest.start()


def _silence(guest: Guest) -> None:
    guest.speaks = False


def _speak(guest: Guest) -> None:
    guest.speaks = True


_ACTIONS: Mapping[str, Callable[[Guest], None]] = {
    "start": Guest.start,
    "stop": Guest.stop,
    "restart": _restart,
    "silence": _silence,
    "speak": _speak,
}


def _handler(admin: Admin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length) if length else b""
            status, body = self._outcome(raw)
            payload = json.dumps(body, indent=2).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_DELETE = _serve

        def _outcome(self, raw: bytes) -> tuple[int, Any]:
            try:
                body = json.loads(raw) if raw.strip() else {}
                if not isinstance(body, dict):
                    raise Wrong("the body has to be a JSON object")
                return 200, admin.answer(self.command, self.path.partition("?")[0], body)
            except json.JSONDecodeError as problem:
                return 400, {"error": f"the body is no JSON: {problem}"}
            except KeyError as problem:
                return 404, {"error": problem.args[0]}
            except (ValueError, ApiError) as problem:
                return 400, {"error": str(problem).strip()}

        def log_message(self, *_: object) -> None:
            pass

    return Handler
