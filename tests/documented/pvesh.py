"""``pvesh get|create|set|delete PATH [--name value]...`` on the lab of ``PVESH_URL``: Proxmox maps it to its API."""

from __future__ import annotations

import json
import os
import ssl
import sys
import urllib.parse
import urllib.request

_METHODS = {"get": "GET", "create": "POST", "set": "PUT", "delete": "DELETE"}


def main(verb: str, path: str, *options: str) -> int:
    """Print the answer's data as JSON, as ``--output-format json`` does."""
    params = {name.removeprefix("--"): value for name, value in zip(options[::2], options[1::2], strict=True)}
    params.pop("output-format", None)
    query = urllib.parse.urlencode(params)
    in_body = verb in ("create", "set")
    request = urllib.request.Request(
        f"{os.environ['PVESH_URL']}/api2/json{path}" + (f"?{query}" if query and not in_body else ""),
        data=query.encode() if in_body else None,
        method=_METHODS[verb],
        headers={"Authorization": f"PVEAPIToken={os.environ['PVESH_TOKEN']}"},
    )
    context = ssl.create_default_context(cafile=os.environ["PVESH_CA"])
    with urllib.request.urlopen(request, context=context, timeout=30) as answer:
        print(json.dumps(json.load(answer)["data"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
