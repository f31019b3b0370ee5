"""The ``pveum`` commands of a page of documentation, carried out on a lab."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from pve_lab.access import Access, User


def commands(page: Path) -> list[list[str]]:
    """Every line of a console block that begins with ``pveum``, in order."""
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.startswith("pveum ")]


def carry_out(command: list[str], access: Access) -> str:
    """Do what the command would do; a new token's secret, otherwise nothing."""
    first = next((place for place, word in enumerate(command) if word.startswith("--")), len(command))
    words, rest = command[:first], command[first:]
    options = {name.removeprefix("--"): value for name, value in zip(rest[::2], rest[1::2], strict=True)}
    match words:
        case ["role", "add", name]:
            access.roles[name] = frozenset(options["privs"].split())
        case ["user", "add", name]:
            access.users[name] = User()
        case ["acl", "modify", path]:
            assert options["users"] in access.users
            assert options["roles"] in access.roles
            access.grant(options["users"], path, options["roles"])
        case ["user", "token", "add", user, name]:
            return access.new_token(f"{user}!{name}", privsep=options["privsep"] == "1")
        case ["user", "permissions", who]:
            return "\n".join(sorted(access.privileges(who, "/")))
        case ["user", "token", "list", who]:
            return "\n".join(name for name in sorted(access.secrets) if name.startswith(f"{who}!"))
        case _:
            raise AssertionError(f"a command this test does not know: pveum {shlex.join(command)}")
    return ""
