"""``/access``: permissions, tickets, and the part of user management that a client's set-up needs."""

from __future__ import annotations

from typing import Any

from pve_lab.access import PRIVILEGES, Token, User, normalise_path
from pve_lab.cluster import Cluster
from pve_lab.errors import ApiError, bad_parameters, refused
from pve_lab.json_schema import Prop, Schema, split_list
from pve_lab.request import Call

_TEXT, _FLAG, _TIME = Prop(), Prop("boolean"), Prop("integer", minimum=0)
_USER_ID = Prop(optional=False, pattern=r"[^\s:/]+@[A-Za-z][A-Za-z0-9._-]+", max_length=64)
_TOKEN_ID = Prop(optional=False, pattern=r"[A-Za-z][A-Za-z0-9._-]+")

# Parameters of the methods, for the table of routes.
PERMISSIONS: Schema = {"path": _TEXT, "userid": _TEXT}
USERS: Schema = {"enabled": _FLAG, "full": _FLAG}
USER: Schema = {"userid": _USER_ID}
NEW_USER: Schema = {
    **USER, "enable": _FLAG, "expire": _TIME, "groups": Prop(format="pve-configid-list"), "comment": _TEXT,
}  # fmt: skip
TOKEN: Schema = {"userid": _USER_ID, "tokenid": _TOKEN_ID}
NEW_TOKEN: Schema = {**TOKEN, "privsep": _FLAG, "expire": _TIME, "comment": _TEXT}
NEW_ROLE: Schema = {"roleid": Prop(optional=False), "privs": _TEXT}
ACL: Schema = {
    "path": Prop(optional=False), "roles": Prop(optional=False), "users": _TEXT, "groups": _TEXT, "tokens": _TEXT,
    "propagate": _FLAG, "delete": _FLAG,
}  # fmt: skip


def permissions(cluster: Cluster, call: Call) -> Any:
    """Path -> privilege -> whether it propagates. Those of another user need Sys.Audit on /access."""
    who = call.text("userid") or call.user
    if who != call.user and who.partition("!")[0] != call.user:
        cluster.access.demand(call.user, "/access", "Sys.Audit")
    if path := call.text("path"):
        found = normalise_path(path)
        if found is None:
            raise bad_parameters(path=f"{path} is not a valid ACL path")
        return {found: _flags(cluster, who, found)}
    return {path: flags for path in cluster.access.known_paths() if (flags := _flags(cluster, who, path))}


def _flags(cluster: Cluster, who: str, path: str) -> dict[str, int]:
    return {privilege: int(goes) for privilege, goes in sorted(cluster.access.propagation(who, path).items())}


def users(cluster: Cluster, call: Call) -> Any:
    rows = [{"userid": name, "enable": int(u.enable), "expire": u.expire} for name, u in cluster.access.users.items()]
    if cluster.access.allowed(call.user, "/access/groups", ("User.Modify", "Sys.Audit")):
        return rows
    return [row for row in rows if row["userid"] == call.user.partition("!")[0]]


def create_user(cluster: Cluster, call: Call) -> Any:
    userid = str(call.params["userid"])
    if userid in cluster.access.users:
        raise refused(f"create user failed: user '{userid}' already exists\n")
    made = User(groups=set(split_list(call.text("groups") or "")))
    made.enable = call.text("enable") != "0"
    made.expire = int(call.text("expire") or 0)
    cluster.access.users[userid] = made


def user(cluster: Cluster, call: Call) -> Any:
    """With its tokens by name. A token is not its user: it needs the privilege even for its own entry."""
    name = call.path["userid"]
    if name not in cluster.access.users:
        raise refused(f"no such user ('{name}')\n")
    known = cluster.access.users[name]
    tokens = {
        full.partition("!")[2]: {"expire": token.expire, "privsep": int(token.privsep)}
        for full, token in cluster.access.tokens.items()
        if full.partition("!")[0] == name
    }
    return {"enable": int(known.enable), "expire": known.expire, "groups": sorted(known.groups), "tokens": tokens}


def _own_or_modify(cluster: Cluster, call: Call) -> str:
    userid = call.path["userid"]
    if userid not in cluster.access.users:
        raise refused(f"no such user ('{userid}')\n")
    if call.user != userid:
        cluster.access.demand(call.user, "/access/groups", "User.Modify")
    return f"{userid}!{call.path['tokenid']}"


def create_token(cluster: Cluster, call: Call) -> Any:
    full = _own_or_modify(cluster, call)
    if full in cluster.access.secrets:
        raise bad_parameters(tokenid="Token already exists.")
    privsep, expire = call.text("privsep") != "0", int(call.text("expire") or 0)
    value = cluster.access.new_token(full, privsep=privsep, expire=expire)
    return {"full-tokenid": full, "info": {"expire": expire, "privsep": int(privsep)}, "value": value}


def token(cluster: Cluster, call: Call) -> Any:
    full = _own_or_modify(cluster, call)
    if full not in cluster.access.secrets:
        raise bad_parameters(tokenid="no such token")
    known = cluster.access.tokens.get(full, Token())
    return {"expire": known.expire, "privsep": int(known.privsep)}


def delete_token(cluster: Cluster, call: Call) -> Any:
    full = _own_or_modify(cluster, call)
    if cluster.access.secrets.pop(full, None) is None:
        raise refused(f"no such token '{call.path['tokenid']}' for user '{call.path['userid']}'\n")
    cluster.access.tokens.pop(full, None)


def roles(cluster: Cluster, _call: Call) -> Any:
    return [{"roleid": name, "privs": ",".join(sorted(privs))} for name, privs in sorted(cluster.access.roles.items())]


def create_role(cluster: Cluster, call: Call) -> Any:
    name = str(call.params["roleid"])
    if name in cluster.access.roles:
        raise refused(f"create role failed: role '{name}' already exists\n")
    privileges = split_list(call.text("privs") or "")
    for privilege in privileges:
        if privilege not in PRIVILEGES:
            raise bad_parameters(privs=f"invalid format - invalid privilege '{privilege}'\n")
    cluster.access.roles[name] = frozenset(privileges)


def acl(cluster: Cluster, call: Call) -> Any:
    if not cluster.access.allowed(call.user, "/access", ("Sys.Audit", "Permissions.Modify")):
        return []
    return [
        {"path": path, "ugid": who.removeprefix("@"), "type": _kind(who), "roleid": role, "propagate": int(goes)}
        for path, entries in sorted(cluster.access.acl.items())
        for who, given in sorted(entries.items())
        for role, goes in sorted(given.items())
    ]


def _kind(who: str) -> str:
    return "group" if who.startswith("@") else "token" if "!" in who else "user"


def update_acl(cluster: Cluster, call: Call) -> Any:
    path = normalise_path(str(call.params["path"]))
    if path is None:
        raise bad_parameters(path=f"invalid ACL path '{call.params['path']}'")
    cluster.access.demand(call.user, path, "Permissions.Modify")
    who = split_list(call.text("users") or "") + split_list(call.text("tokens") or "")
    who += [f"@{group}" for group in split_list(call.text("groups") or "")]
    if not who:
        raise bad_parameters(users="at least one of 'users', 'groups' or 'tokens' is required")
    for role in split_list(str(call.params["roles"])):
        if role not in cluster.access.roles:
            raise refused(f"ACL update failed: role '{role}' does not exist\n")
        for subject in who:
            _change_acl(cluster, call, subject, path, role)


def _change_acl(cluster: Cluster, call: Call, subject: str, path: str, role: str) -> None:
    if call.flag("delete"):
        cluster.access.acl.get(path, {}).get(subject, {}).pop(role, None)
        return
    user = subject.partition("!")[0]
    if not subject.startswith("@") and (user not in cluster.access.users):
        raise refused(f"ACL update failed: user '{user}' does not exist\n")
    cluster.access.grant(subject, path, role, propagate=call.text("propagate") != "0")


def no_ticket(_cluster: Cluster, _call: Call) -> Any:
    """For login pages; without data."""


def log_in(cluster: Cluster, call: Call) -> Any:
    """A ticket for a password, or for a ticket that is still good. Second factors are not modelled."""
    user = call.text("username") or ""
    if realm := call.text("realm"):
        user = f"{user}@{realm}"
    found = cluster.tickets.log_in(user, call.text("password") or "", cluster.now())
    if found is None:
        raise ApiError(401, "authentication failure")
    return {**found, "clustername": "lab"}
