"""Warnings at ``kubectl apply``: what Proxmox accepts and one object alone shows to be without effect.

Each becomes a ValidatingAdmissionPolicy whose binding only warns: nothing is refused, and nothing depends on these
policies being installed. What takes several objects to see is the condition ``Effective`` (`domain.status.effective`).

    python -m pve_evpn.api.admission crds/warnings/     write one file per kind
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pve_evpn.api.kinds import ANNOTATIONS, GROUP, KINDS, VERSION, Kind


@dataclass(frozen=True, slots=True)
class Advice:
    """One warning. ``holds`` is CEL about ``object``: false where the message is to be shown.

    ``words`` is CEL for a message that names something of the object, instead of ``message``.
    """

    holds: str
    message: str
    words: str = ""

    def as_validation(self) -> dict[str, str]:
        """The warning as a ValidatingAdmissionPolicy takes it. Of an object that goes nothing is said."""
        expression = f"object.metadata.?deletionTimestamp.hasValue() || ({self.holds})"
        words = {"messageExpression": self.words} if self.words else {}
        return {"expression": expression, "message": self.message, **words}


def _all_subnets(condition: str) -> str:
    return f"!has(object.spec.subnets) || object.spec.subnets.all(s, {condition})"


#: The last address of a network has all bits behind the prefix set: no two neighbouring lengths give one network.
_IS_BROADCAST = (
    "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32]"
    ".filter(n, n > cidr(s.cidr).prefixLength())"
    ".all(n, cidr(s.gateway + '/' + string(n)).masked().ip() != cidr(s.gateway + '/' + string(n - 1)).masked().ip())"
)


def _gateway_inside(gateway: str, address: str, single: int) -> str:
    gw, own = f"object.spec.{gateway}", f"object.spec.{address}"
    return (
        f"!has({gw}) || !has({own}) || !isIP({gw}) || !isCIDR({own}) || ip({gw}).isLinkLocalUnicast() || "
        f"cidr({own}).prefixLength() == {single} || cidr({own}).containsIP(ip({gw}))"
    )


_UNKNOWN = f"k.startsWith('{GROUP}/') && !(k in {list(ANNOTATIONS)})"
_ANNOTATIONS_KNOWN = Advice(
    f"!object.metadata.?annotations.orValue({{}}).exists(k, {_UNKNOWN})",
    f"metadata.annotations has one with the prefix {GROUP}/ that the operator does not know",
    f"'metadata.annotations: the operator does not know ' + object.metadata.annotations.filter(k, {_UNKNOWN})"
    f".join(', ') + '. It knows {', '.join(name.removeprefix(GROUP) for name in ANNOTATIONS)}'",
)

_BY_KIND: dict[str, tuple[Advice, ...]] = {
    "VNet": (
        Advice(
            _all_subnets("!has(s.dhcpRanges) || s.dhcpRanges.size() == 0"),
            "spec.subnets[].dhcpRanges has no effect: Proxmox serves DHCP in Simple zones only, and this VNet is in an "
            "EVPN zone. Run a DHCP server on the VNet, or give static addresses",
        ),
        Advice(
            _all_subnets("!has(s.dhcpDnsServer)"),
            "spec.subnets[].dhcpDnsServer has no effect: Proxmox serves DHCP in Simple zones only, and this VNet is in "
            "an EVPN zone",
        ),
        Advice(
            _all_subnets(
                "!has(s.gateway) || !isIP(s.gateway) || !isCIDR(s.cidr) || ip(s.gateway).family() != 4 || "
                f"cidr(s.cidr).ip().family() != 4 || cidr(s.cidr).prefixLength() > 30 || !({_IS_BROADCAST})"
            ),
            "spec.subnets[].gateway is the broadcast address of its network, which no host answers at. Take another "
            "address of the network",
        ),
    ),
    "NicAttachment": (
        Advice(
            _gateway_inside("gw", "ip", 32),
            "spec.gw is outside the network of spec.ip, so the container has no way to it. Take an address of that "
            "network, or correct the length of spec.ip",
        ),
        Advice(
            _gateway_inside("gw6", "ip6", 128),
            "spec.gw6 is outside the network of spec.ip6, so the container has no way to it. Take an address of that "
            "network or a link-local one, or correct the length of spec.ip6",
        ),
    ),
}

#: The operator writes EvpnNodes itself.
ADVICE: dict[str, tuple[Advice, ...]] = {
    name: (_ANNOTATIONS_KNOWN, *_BY_KIND.get(name, ())) for name in KINDS if name != "EvpnNode"
}


def policy(kind: Kind) -> dict[str, Any]:
    """The policy of one kind. A policy that cannot be evaluated is ignored: it only warns."""
    rule = {
        "apiGroups": [GROUP],
        "apiVersions": [VERSION],
        "operations": ["CREATE", "UPDATE"],
        "resources": [kind.plural],
    }
    validations = [advice.as_validation() for advice in ADVICE[kind.name]]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": _name(kind)},
        "spec": {
            "failurePolicy": "Ignore",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": validations,
        },
    }


def binding(kind: Kind) -> dict[str, Any]:
    """Binds the policy everywhere, to warn."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": _name(kind)},
        "spec": {"policyName": _name(kind), "validationActions": ["Warn"]},
    }


def _name(kind: Kind) -> str:
    return f"{kind.plural}-warnings.{GROUP}"


def render() -> dict[str, str]:
    """File name to content, one file per kind that has warnings."""
    head = "# Generated by `python -m pve_evpn.api.admission crds/warnings/`; change that module instead.\n"
    return {
        f"{GROUP}_{name.lower()}.yaml": head + yaml.safe_dump_all(
            (policy(KINDS[name]), binding(KINDS[name])), sort_keys=False, width=110, allow_unicode=True
        )
        for name in ADVICE
    }  # fmt: skip


def main(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (directory / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
