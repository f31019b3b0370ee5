"""Which namespaces may connect which guests of a ProxmoxCluster."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic import StringConstraints as Length

from pve_evpn.api.nic import Vmid
from pve_evpn.api.rules import ATOMIC, ONE_LINE, SET, Rule, rules
from pve_evpn.api.types import ApiModel, LabelSelector


class VmidRange(ApiModel):
    """Guests by number; both ends belong to it."""

    model_config = ConfigDict(json_schema_extra=rules(Rule("self.from <= self.to", "from must not be above to")))

    from_: Vmid = Field(alias="from", description="Lowest vmid, 100 or more.")
    to: Vmid = Field(description="Highest vmid.")


class GuestSet(ApiModel):
    """Guests that are in any of the pools, have any of the tags, or are in any of the ranges."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            Rule("has(self.pools) || has(self.tags) || has(self.vmids)", "name guests by pools, tags or vmids")
        )
    )

    pools: list[Annotated[str, Length(min_length=1, max_length=128), ONE_LINE]] | None = Field(
        None, min_length=1, max_length=64, description="Resource pools in Proxmox.", json_schema_extra=SET
    )
    tags: list[Annotated[str, Length(min_length=1, max_length=128), ONE_LINE]] | None = Field(
        None, min_length=1, max_length=64, description="Guest tags in Proxmox.", json_schema_extra=SET
    )
    vmids: list[VmidRange] | None = Field(
        None, min_length=1, max_length=64, description="Ranges of vmids.", json_schema_extra=ATOMIC
    )


class GuestAccess(ApiModel):
    """Allows NicAttachments of some namespaces to connect some guests."""

    namespaces: LabelSelector = Field(description="Namespaces by label; an empty selector means all.")
    guests: GuestSet = Field(description="The guests they may connect.")
