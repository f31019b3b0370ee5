"""Options and arguments that several commands have, as types for the functions that typer makes commands of."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pve_evpn.cli import complete
from pve_evpn.cli.proxmox import TOKEN, TOKEN_FILE

Form = Literal["text", "json", "yaml", "markdown"]
Output = Annotated[Form, typer.Option("--output", "-o", help="Form of the output.")]

#: Of commands that read many objects: for users who may not list those of all namespaces.
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", metavar="NAMESPACE", autocompletion=complete.namespaces, show_default="all",
        help="Read namespaced objects of this namespace only.",
    ),
]  # fmt: skip
#: Of commands about one object.
OwnNamespace = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", metavar="NAMESPACE", autocompletion=complete.namespaces,
        show_default="where its name is found", help="Namespace of the object.",
    ),
]  # fmt: skip
#: Of commands that change objects.
NamespaceOfChanged = Annotated[
    str,
    typer.Option(
        "--namespace", "-n", metavar="NAMESPACE", autocompletion=complete.namespaces, help="Of namespaced objects."
    ),
]
Objects = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KIND/NAME...", autocompletion=complete.objects, show_default=False,
        help="For example vnet/blue or evpnzone/tenants.",
    ),
]  # fmt: skip
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without it the command only prints what it would do.")]
Cluster = Annotated[
    str, typer.Option("--cluster", metavar="NAME", autocompletion=complete.clusters, help="A ProxmoxCluster.")
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Do not ask Kubernetes; what Proxmox has under the names of the manifests counts as managed."
    ),
]
OperatorNamespace = Annotated[
    str,
    typer.Option("--operator-namespace", metavar="NAMESPACE", help="Where the operator and its Secrets are."),
]

# --- how to reach Proxmox; all of it may come from a ProxmoxCluster too ----------------------------------------------
_PROXMOX = "How to reach Proxmox"
Endpoint = Annotated[
    list[str] | None,
    typer.Option(
        "--endpoint", metavar="URL", show_default=False, rich_help_panel=_PROXMOX,
        help="Proxmox' API, https://host:8006; may be given again.",
    ),
]  # fmt: skip
TokenFile = Annotated[
    str,
    typer.Option(
        "--token-file", metavar="FILE", show_default=f"${TOKEN_FILE}, else ${TOKEN}", rich_help_panel=_PROXMOX,
        help="File with the token's secret.",
    ),
]  # fmt: skip
Fingerprint = Annotated[
    str,
    typer.Option(
        "--fingerprint", metavar="SHA256", rich_help_panel=_PROXMOX,
        help="SHA-256 of the server's certificate, as Proxmox shows it.",
    ),
]  # fmt: skip
CaFile = Annotated[
    str,
    typer.Option(
        "--ca-file", metavar="FILE", rich_help_panel=_PROXMOX,
        help="CA certificates that the server's has to be of (PEM).",
    ),
]  # fmt: skip
