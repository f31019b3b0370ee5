"""The users of one namespace whose firewall rules name what is the datacenter's, or other tenants'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pve_evpn.api.conditions import Reason
from pve_evpn.domain.objects import ObjectKey
from pve_evpn.domain.plan import plan
from tests.unit.plan.world import controller, desired, observed, vnet, zone

pytestmark = pytest.mark.redteam

ALLOWED = {"aliases": ["dns"], "ipSets": ["office", "sdn/shared-all"], "securityGroups": ["web"]}


def problem(rule: dict[str, Any], allowed: dict[str, Any] | None) -> str:
    """Why a VNet with this rule is refused, beside another one of its namespace and one of another."""
    item = vnet(firewall={"rules": [rule]})
    mate = vnet("mate", vni=6001)
    other = replace(vnet("other", vni=6002), key=ObjectKey("VNet", "theirs", "other"))
    zones = zone(allowedFirewallNames=allowed)
    refused = plan(desired(controller(), zones, item, mate, other), observed()).decisions[item.key].refused
    assert refused is None or refused.reason is Reason.NOT_ALLOWED
    return refused.message if refused else ""


def accept(**values: Any) -> dict[str, Any]:
    return {"action": "ACCEPT", **values}


@pytest.mark.parametrize("allowed", [ALLOWED, {}, {"aliases": ["office", "web"]}], ids=["some", "none", "others"])
@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (accept(source="hosts"), "alias 'hosts'"),
        (accept(dest="dc/hosts"), "alias 'hosts'"),
        (accept(source="+admins"), "IP set 'admins'"),
        (accept(source="+dc/admins"), "IP set 'admins'"),
        (accept(source="+sdn/other-all"), "IP set 'sdn/other-all'"),
        (accept(source="+sdn/guest-ipam-100"), "IP set 'sdn/guest-ipam-100'"),
        (accept(source="+sdn/mate-secret"), "IP set 'sdn/mate-secret'"),
        ({"securityGroup": "admins"}, "security group 'admins'"),
        ({"securityGroup": "admins", "enabled": False}, "security group 'admins'"),
    ],
)
def test_a_rule_names_only_what_the_zone_allows(rule: dict[str, Any], name: str, allowed: dict[str, Any]) -> None:
    message = problem(rule, allowed)
    assert message.startswith("firewall.rules[0].")
    assert f"does not have {name} (it has " in message
    assert problem(rule, None) == "", "unset allows any"


@pytest.mark.parametrize(
    "rule",
    [
        accept(source="dns"),
        accept(source="dc/DNS"),
        accept(dest="+office"),
        accept(dest="+dc/office"),
        accept(source="+sdn/shared-all"),
        {"securityGroup": "web"},
    ],
)
def test_what_the_zone_names_is_allowed(rule: dict[str, Any]) -> None:
    assert problem(rule, ALLOWED) == ""


@pytest.mark.parametrize(
    "rule",
    [
        accept(source="10.0.0.0/8"),
        accept(source="fd00::/8", dest="fd00::1"),
        accept(macro="SSH"),
        accept(source="+sdn/net1-all"),
        accept(source="+sdn/mate-no-gateway"),
    ],
)
def test_addresses_macros_and_sets_of_ones_own_vnets_need_no_permission(rule: dict[str, Any]) -> None:
    assert problem(rule, {}) == ""
