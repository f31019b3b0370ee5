"""The token docs/proxmox-access.md makes is enough for everything the operator does, and none of it is too much."""

from __future__ import annotations

import pytest

from pve_lab.access import Access
from tests.e2e.pveum import carry_out, commands
from tests.e2e.stack import ROOT, TOKEN, Stack

pytestmark = pytest.mark.kube
PAGE = ROOT / "docs" / "proxmox-access.md"
# Only for a node that missed an apply.
RARE = {"Sys.Modify"}


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The privileges that were asked for and were there."""
    found: set[str] = set()
    privileges = Access.privileges

    demand, allowed = Access.demand, Access.allowed

    def demanding(self: Access, who: str, path: str, *all_of: str) -> None:
        found.update(privileges(self, who, path).intersection(all_of))
        demand(self, who, path, *all_of)

    def allowing(self: Access, who: str, path: str, any_of: tuple[str, ...]) -> bool:
        held = privileges(self, who, path)
        found.update([name for name in any_of if name in held][:1])
        return allowed(self, who, path, any_of)

    monkeypatch.setattr(Access, "demand", demanding)
    monkeypatch.setattr(Access, "allowed", allowing)
    return found


def test_the_documented_token_does_everything_and_needs_all_it_has(stack: Stack, used: set[str]) -> None:
    access = stack.lab.access
    secret = "".join(carry_out(command, access) for command in commands(PAGE))
    del stack.lab.tokens[TOKEN[0]]
    stack.write_secret(secret, "pve-evpn@pve!operator")
    began = len(stack.lab.journal)
    seed = stack.seed()
    stack.apply(*seed)
    stack.await_ready(*seed)
    stack.delete(*seed)
    refused = [entry for entry in stack.lab.journal[began:] if entry[2] == 403]
    assert refused == []
    given = {name for role, privileges in access.roles.items() if role.startswith("PveEvpn") for name in privileges}
    assert given - used == RARE
