"""``pve-evpn approve``: shows the plan that waits on a ProxmoxCluster, and approves that plan and no other."""

from __future__ import annotations

from typing import Annotated

import typer

from pve_evpn.api.conditions import APPROVABLE
from pve_evpn.api.kinds import ANNOTATION_APPROVED_PLAN
from pve_evpn.cli import complete, options
from pve_evpn.cli.annotate import annotate
from pve_evpn.cli.failures import Refusal, guarded
from pve_evpn.cli.objects import find
from pve_evpn.engine.cache import resource_from
from pve_evpn.kube.client import CustomObjects, api_client
from pve_evpn.text import from_outside

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: pve-evpn approve pve --yes")
def approve(
    cluster: Annotated[
        str, typer.Argument(metavar="CLUSTER", autocompletion=complete.clusters, help="Name of the ProxmoxCluster.")
    ],
    hash_: Annotated[
        str, typer.Option("--hash", metavar="HASH", help="Approve only if the plan's hash still begins like that.")
    ] = "",
    yes: options.Yes = False,
) -> int:
    """Show the plan that waits, and approve it. The approval holds for that plan only and counts once. Nothing is
    changed without --yes.
    """
    return guarded(_approve(cluster, hash_, yes=yes))


async def _approve(cluster: str, hash_: str, *, yes: bool) -> int:
    async with api_client() as api:
        custom = CustomObjects(api)
        [(key, raw)] = await find(custom, [f"pvec/{cluster}"], "")
        plan = resource_from({**raw, "kind": key.kind}).status.pending_plan
        if plan is None:
            raise Refusal(f"no plan of {key} waits")
        if not plan.hash.startswith(hash_):
            raise Refusal(f"the plan of {key} has changed: its hash is now {plan.hash}")
        print(
            f"{key}: plan {plan.hash}, waiting since {plan.since:%Y-%m-%d %H:%M} UTC, class {plan.class_ or 'unknown'}"
        )
        classes = plan.classes or []
        if plan.reason is not None and plan.reason not in APPROVABLE:
            print(f"  approval alone does not release it: {from_outside(plan.message or plan.reason)}")
        for number, step in enumerate(plan.summary):
            class_ = f" ({classes[number]})" if number < len(classes) else ""
            print(f"  {from_outside(step)}{class_}")
        if plan.truncated:
            print(f"  and {plan.truncated} more")
        approval = plan.hash
        return await annotate(
            custom, [(key, raw)], ANNOTATION_APPROVED_PLAN, lambda _raw: approval, yes=yes, done="approved"
        )
