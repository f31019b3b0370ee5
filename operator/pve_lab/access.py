"""Users, tokens, roles and ACLs, and what follows from them for a path.

Proxmox' rules: an entry at a deeper path replaces what came from above, a user's entry replaces that of their groups,
``NoAccess`` wins within one place, a token with privilege separation gets what both it and its user have, and
``root@pam`` may do everything. A path with characters no ACL can name is refused to every token, root's included.
"""

from __future__ import annotations

import re
import secrets as random_secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pve_lab.errors import ApiError
from pve_lab.json_schema import text_of

ROOT = "root@pam"

_SDN_USER = frozenset({"SDN.Audit", "SDN.Use"})
_SDN_ADMIN = _SDN_USER | {"SDN.Allocate"}
_AUDIT = frozenset({"Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit", "VM.Audit"})
_VM_USER = frozenset({"VM.Audit", "VM.Backup", "VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.PowerMgmt"})
_VM_ADMIN = _VM_USER | {
    "VM.Allocate", "VM.Clone", "VM.Config.CPU", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory",
    "VM.Config.Network", "VM.Config.Options", "VM.GuestAgent.Audit",
    "VM.GuestAgent.Unrestricted", "VM.Migrate", "VM.Snapshot", "VM.Snapshot.Rollback",
}  # fmt: skip
_SYS_ADMIN = frozenset({"Sys.Audit", "Sys.Console", "Sys.Syslog", "Permissions.Modify", "User.Modify"})
_EVERYTHING = (
    _SDN_ADMIN | _AUDIT | _VM_ADMIN | _SYS_ADMIN
    | {"Sys.Modify", "Sys.Incoming", "Sys.PowerMgmt", "Sys.AccessNetwork", "Realm.Allocate", "Group.Allocate",
       "Datastore.Allocate", "Datastore.AllocateSpace", "Pool.Allocate", "Mapping.Modify", "Mapping.Use"}
)  # fmt: skip
_ROLES: dict[str, frozenset[str]] = {
    "NoAccess": frozenset(),
    "Administrator": frozenset(_EVERYTHING),
    "PVEAdmin": frozenset(_EVERYTHING - {"Sys.Modify", "Sys.PowerMgmt", "Sys.AccessNetwork", "Realm.Allocate"}),
    "PVEAuditor": _AUDIT,
    "PVESDNAdmin": _SDN_ADMIN,
    "PVESDNUser": _SDN_USER,
    "PVESysAdmin": _SYS_ADMIN,
    "PVEVMAdmin": frozenset(_VM_ADMIN),
    "PVEVMUser": _VM_USER,
}
PRIVILEGES = frozenset(_EVERYTHING)
_ACL_PATH = re.compile(r"[0-9A-Za-z._/-]+")


@dataclass
class User:
    """A user; ``expire`` is Unix time, 0 for never."""

    enable: bool = True
    expire: int = 0
    groups: set[str] = field(default_factory=set)


@dataclass
class Token:
    """With ``privsep`` it has only the privileges that both its own ACL entries and its user have."""

    privsep: bool = False
    expire: int = 0


def normalise_path(path: str) -> str | None:
    """An ACL path without double or trailing slashes; None if an ACL cannot have that path."""
    path = re.sub(r"/+", "/", path)
    path = path.removesuffix("/") or "/"
    path = path if path.startswith("/") else f"/{path}"
    return path if _ACL_PATH.fullmatch(path) else None


class Access:
    """Users, tokens, roles and ACLs, and the privileges that follow from them."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.users: dict[str, User] = {ROOT: User()}
        self.tokens: dict[str, Token] = {}
        self.roles: dict[str, frozenset[str]] = dict(_ROLES)
        # path -> user, token or @group -> role -> whether it propagates
        self.acl: dict[str, dict[str, dict[str, bool]]] = {}

    # --- changing -----------------------------------------------------------------------------------------------

    def grant(self, who: str, path: str, *privileges: str, propagate: bool = True) -> None:
        """Give privileges (or one role) on a path; creates users and tokens that do not exist."""
        if not who.startswith("@"):
            self.users.setdefault(who.partition("!")[0], User())
        role = privileges[0] if privileges and privileges[0] in self.roles else "lab-" + "-".join(sorted(privileges))
        self.roles.setdefault(role, frozenset(privileges))
        self.acl.setdefault(normalise_path(path) or path, {}).setdefault(who, {})[role] = propagate

    def new_token(self, token: str, *, privsep: bool = True, expire: int = 0) -> str:
        """Create a token; returns its secret."""
        self.secrets[token] = random_secrets.token_hex(16)
        self.tokens[token] = Token(privsep, expire)
        return self.secrets[token]

    # --- asking -------------------------------------------------------------------------------------------------

    def knows(self, token: str, secret: str, now: float) -> bool:
        """Whether a request with this token is authenticated."""
        user = self.users.get(token.partition("!")[0], User())
        ends = [moment for moment in (user.expire, self.tokens.get(token, Token()).expire) if moment]
        alive = user.enable and all(now < moment for moment in ends)
        return alive and "!" in token and self.secrets.get(token) == secret

    def privileges(self, who: str, path: str | None) -> frozenset[str]:
        """The privileges of a user or token on a path."""
        return frozenset(self.propagation(who, path))

    def propagation(self, who: str, path: str | None) -> dict[str, bool]:
        """The same, and whether each propagates to the paths below."""
        if who == ROOT:
            return dict.fromkeys(self.roles["Administrator"], True)
        if path is None:
            return {}
        user, _, name = who.partition("!")
        if not name:
            return self._of(who, path)
        of_user = self.propagation(user, path)
        if not self.tokens.get(who, Token()).privsep:
            return of_user
        return {key: goes for key, goes in self._of(who, path).items() if key in of_user}

    def allowed(self, who: str, path: str, any_of: tuple[str, ...]) -> bool:
        """Has ``who`` one of these privileges there?"""
        return not self.privileges(who, normalise_path(path)).isdisjoint(any_of)

    def demand(self, who: str, path: str, *all_of: str) -> None:
        """Raise 403 with the missing privilege."""
        where = normalise_path(path)
        has = self.privileges(who, where)
        for privilege in all_of:
            if privilege not in has:
                raise ApiError(403, f"Permission check failed ({where or ''}, {privilege})\n")

    def demand_any(self, who: str, path: str, any_of: tuple[str, ...]) -> None:
        if not self.allowed(who, path, any_of):
            raise ApiError(403, f"Permission check failed ({normalise_path(path) or ''}, {'|'.join(any_of)})\n")

    def known_paths(self) -> list[str]:
        """Paths with an ACL entry, and those that every list of permissions has."""
        return sorted({"/", "/access", "/nodes", "/sdn", "/sdn/zones", "/storage", "/vms", *self.acl})

    def _of(self, who: str, path: str) -> dict[str, bool]:
        roles: dict[str, bool] = {}
        parts = [part for part in path.split("/") if part]
        groups = [f"@{group}" for group in self.users.get(who, User()).groups]
        for depth in range(len(parts) + 1):
            here = self.acl.get("/" + "/".join(parts[:depth]), {})
            final = depth == len(parts)
            own = {role: goes for role, goes in here.get(who, {}).items() if final or goes}
            shared = {r: goes for group in groups for r, goes in here.get(group, {}).items() if final or goes}
            if found := own or shared:
                roles = {"NoAccess": True} if "NoAccess" in found else found
        return {privilege: goes for role, goes in roles.items() for privilege in self.roles.get(role, ())}


PATH_PARAMETER = re.compile(r"\{([\w-]+)\}")


@dataclass(frozen=True)
class Permission:
    """Privileges on an ACL path that may name parameters of the request; all of them, or any one."""

    path: str
    privileges: tuple[str, ...]
    any_of: bool = False

    def demand(self, access: Access, who: str, params: Mapping[str, Any]) -> None:
        """Raise 403 if ``who`` lacks them."""
        path = PATH_PARAMETER.sub(lambda match: text_of(params.get(match.group(1)) or ""), self.path)
        if self.any_of:
            access.demand_any(who, path, self.privileges)
        else:
            access.demand(who, path, *self.privileges)


@dataclass(frozen=True)
class AllPermissions(Permission):
    """Several permissions, all of which are needed."""

    permissions: tuple[Permission, ...] = ()

    def demand(self, access: Access, who: str, params: Mapping[str, Any]) -> None:
        for each in self.permissions:
            each.demand(access, who, params)


def permission(check: Sequence[Any]) -> Permission:
    """From the ``check`` of a method in the API schema: ``["perm", path, [privileges], "any"?]``, ``["and", ...]``."""
    if check[0] == "and":
        return AllPermissions("", (), permissions=tuple(permission(inner) for inner in check[1:]))
    _, path, privileges, *rest = check
    return Permission(path, tuple(privileges), any_of=rest[:1] == ["any"])
