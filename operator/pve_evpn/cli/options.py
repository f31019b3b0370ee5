"""Options and arguments that several commands have, as types for the functions that typer makes commands of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from inspect import Parameter, signature
from typing import Annotated, Any, Literal, get_type_hints

import typer

from pve_evpn.cli import complete

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


def grouped(command: Callable[..., int]) -> Callable[..., int]:
    """A command that takes options by the group: typer sees the fields of a dataclass in the place of the parameter.

    Args:
        command: Where it takes a dataclass, it gets an instance; the dataclass' fields are annotated as options.
    """
    wanted = signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: each.annotation for name, each in wanted.parameters.items() if is_dataclass(each.annotation)
    }

    @wraps(command)
    def flat(**given: Any) -> int:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        return command(**given)

    parameters = [
        parameter
        for name, each in wanted.parameters.items()
        for parameter in (_of_group(groups[name]) if name in groups else [each.replace(kind=Parameter.KEYWORD_ONLY)])
    ]
    flat.__signature__ = wanted.replace(parameters=parameters)  # type: ignore[attr-defined]  # typer reads it
    return flat


def _of_group(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=_default(field), annotation=hints[field.name])
        for field in fields(group)
    ]


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
