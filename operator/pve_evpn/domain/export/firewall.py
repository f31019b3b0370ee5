"""From the firewall of a VNet in Proxmox to the field of a manifest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pve_evpn.api.firewall import Firewall
from pve_evpn.domain.export import rules
from pve_evpn.domain.export.model import Round
from pve_evpn.domain.export.specification import in_words
from pve_evpn.domain.plan import firewall
from pve_evpn.domain.plan.firewall import FirewallState
from pve_evpn.domain.sdn import SdnRef


def described_firewall(vnet: SdnRef, actual: FirewallState | None, made: Round) -> dict[str, Any]:
    """The field ``firewall`` of a VNet's spec, or nothing; ``actual`` is None where it could not be read."""
    what = f"firewall of {vnet}"
    if actual is None:
        made.leave_out(what, "it could not be read")
        return {}
    spec = firewall.specified_firewall(actual)
    if actual.invalid:
        spec.pop("rules", None)
        made.leave_out(f"{what} rules", f"Proxmox does not use them all: {next(iter(actual.invalid.values()))}")
    elif why := _unfit_rules(actual, spec):
        spec.pop("rules", None)
        made.leave_out(f"{what} rules", why)
    for option in sorted(actual.options.keys() - {"enable", "policy_forward", "log_level_forward"}):
        made.leave_out(f"{what} {option}", "it has no field in this API")
    if spec and _firewall_problem(actual, spec):
        made.leave_out(what, _firewall_problem(actual, spec))
        return {}
    return {"firewall": spec} if spec else {}


def _unfit_rules(actual: FirewallState, spec: Mapping[str, Any]) -> str:
    """Why the rules cannot be said; empty if they can."""
    options = {key: value for key, value in spec.items() if key != "rules"}
    return _firewall_problem(actual, spec) if not _firewall_problem(actual, options) else ""


def _firewall_problem(actual: FirewallState, spec: Mapping[str, Any]) -> str:
    try:
        checked = Firewall.model_validate(spec)
    except ValidationError as error:
        return ": ".join(in_words(dict(error.errors(include_url=False, include_input=False)[0])))
    wrong = next((why for _, why in rules.firewall(checked)), "")
    different = firewall.differences(actual, firewall.desired_firewall(checked))
    return wrong or (f"this API cannot say it: {different[0]}" if different else "")
