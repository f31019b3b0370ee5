"""``/access``: who may do what, and the little of user management that a client's set-up needs."""

from __future__ import annotations

from typing import Any

from pve_lab.access import PRIVILEGES, Token, User, normalise_path
from pve_lab.cluster import Lab
from pve_lab.declared import declared
from pve_lab.dispatch import Call, Needs, route
from pve_lab.errors import ApiError, bad_parameters, refused
from pve_lab.schema import Prop, split_list

_TEXT, _FLAG, _TIME = Prop(), Prop("boolean"), Prop("integer", minimum=0)
_USER_ID = Prop(optional=False, pattern=r"[^\s:/]+@[A-Za-z][A-Za-z0-9._-]+", max_length=64)
_TOKEN_ID = Prop(optional=False, pattern=r"[A-Za-z][A-Za-z0-9._-]+")
_MODIFY_USERS = Needs("/access/groups", ("User.Modify",))


@route("GET", "/access/permissions", parameters={"path": _TEXT, "userid": _TEXT})
def permissions(lab: Lab, call: Call) -> Any:
    """Path -> privilege -> does it propagate. Somebody else's need Sys.Audit on /access."""
    who = call.text("userid") or call.user
    if who != call.user and who.partition("!")[0] != call.user:
        lab.access.demand(call.user, "/access", "Sys.Audit")
    if path := call.text("path"):
        found = normalise_path(path)
        if found is None:
            raise bad_parameters(path=f"{path} is not a valid ACL path")
        return {found: _flags(lab, who, found)}
    return {path: flags for path in lab.access.known_paths() if (flags := _flags(lab, who, path))}


def _flags(lab: Lab, who: str, path: str) -> dict[str, int]:
    return {privilege: int(goes) for privilege, goes in sorted(lab.access.propagation(who, path).items())}


@route("GET", "/access/users", parameters={"enabled": _FLAG, "full": _FLAG})
def users(lab: Lab, call: Call) -> Any:
    rows = [{"userid": name, "enable": int(u.enable), "expire": u.expire} for name, u in lab.access.users.items()]
    if lab.access.allowed(call.user, "/access/groups", ("User.Modify", "Sys.Audit")):
        return rows
    return [row for row in rows if row["userid"] == call.user.partition("!")[0]]


_USER = {"enable": _FLAG, "expire": _TIME, "groups": Prop(format="pve-configid-list"), "comment": _TEXT}


@route("POST", "/access/users", parameters={"userid": _USER_ID, **_USER}, needs=_MODIFY_USERS)
def create_user(lab: Lab, call: Call) -> Any:
    userid = str(call.params["userid"])
    if userid in lab.access.users:
        raise refused(f"create user failed: user '{userid}' already exists\n")
    made = User(groups=set(split_list(call.text("groups") or "")))
    made.enable = call.text("enable") != "0"
    made.expire = int(call.text("expire") or 0)
    lab.access.users[userid] = made


@route(
    "GET", "/access/users/{userid}", parameters={"userid": _USER_ID},
    needs=Needs("/access/groups", ("User.Modify", "Sys.Audit"), any_of=True),
)  # fmt: skip
def user(lab: Lab, call: Call) -> Any:
    """With its tokens by name. A token is not its user: without the privilege it may not even read about itself."""
    name = call.path["userid"]
    if name not in lab.access.users:
        raise refused(f"no such user ('{name}')\n")
    known = lab.access.users[name]
    tokens = {
        full.partition("!")[2]: {"expire": token.expire, "privsep": int(token.privsep)}
        for full, token in lab.access.tokens.items()
        if full.partition("!")[0] == name
    }
    return {"enable": int(known.enable), "expire": known.expire, "groups": sorted(known.groups), "tokens": tokens}


_TOKEN = "/access/users/{userid}/token/{tokenid}"


def _own_or_modify(lab: Lab, call: Call) -> str:
    userid = call.path["userid"]
    if userid not in lab.access.users:
        raise refused(f"no such user ('{userid}')\n")
    if call.user != userid:
        lab.access.demand(call.user, "/access/groups", "User.Modify")
    return f"{userid}!{call.path['tokenid']}"


@route(
    "POST", _TOKEN,
    parameters={"userid": _USER_ID, "tokenid": _TOKEN_ID, "privsep": _FLAG, "expire": _TIME, "comment": _TEXT},
)  # fmt: skip
def create_token(lab: Lab, call: Call) -> Any:
    full = _own_or_modify(lab, call)
    if full in lab.access.secrets:
        raise bad_parameters(tokenid="Token already exists.")
    privsep, expire = call.text("privsep") != "0", int(call.text("expire") or 0)
    value = lab.access.new_token(full, privsep=privsep, expire=expire)
    return {"full-tokenid": full, "info": {"expire": expire, "privsep": int(privsep)}, "value": value}


@route("GET", _TOKEN, parameters={"userid": _USER_ID, "tokenid": _TOKEN_ID})
def token(lab: Lab, call: Call) -> Any:
    full = _own_or_modify(lab, call)
    if full not in lab.access.secrets:
        raise bad_parameters(tokenid="no such token")
    known = lab.access.tokens.get(full, Token())
    return {"expire": known.expire, "privsep": int(known.privsep)}


@route("DELETE", _TOKEN, parameters={"userid": _USER_ID, "tokenid": _TOKEN_ID})
def delete_token(lab: Lab, call: Call) -> Any:
    full = _own_or_modify(lab, call)
    if lab.access.secrets.pop(full, None) is None:
        raise refused(f"no such token '{call.path['tokenid']}' for user '{call.path['userid']}'\n")
    lab.access.tokens.pop(full, None)


@route("GET", "/access/roles", parameters={})
def roles(lab: Lab, _call: Call) -> Any:
    return [{"roleid": name, "privs": ",".join(sorted(privs))} for name, privs in sorted(lab.access.roles.items())]


@route(
    "POST", "/access/roles", parameters={"roleid": Prop(optional=False), "privs": _TEXT},
    needs=Needs("/access", ("Sys.Modify",)),
)  # fmt: skip
def create_role(lab: Lab, call: Call) -> Any:
    name = str(call.params["roleid"])
    if name in lab.access.roles:
        raise refused(f"create role failed: role '{name}' already exists\n")
    privileges = split_list(call.text("privs") or "")
    for privilege in privileges:
        if privilege not in PRIVILEGES:
            raise bad_parameters(privs=f"invalid format - invalid privilege '{privilege}'\n")
    lab.access.roles[name] = frozenset(privileges)


@route("GET", "/access/acl", parameters={})
def acl(lab: Lab, call: Call) -> Any:
    if not lab.access.allowed(call.user, "/access", ("Sys.Audit", "Permissions.Modify")):
        return []
    return [
        {"path": path, "ugid": who.removeprefix("@"), "type": _kind(who), "roleid": role, "propagate": int(goes)}
        for path, entries in sorted(lab.access.acl.items())
        for who, given in sorted(entries.items())
        for role, goes in sorted(given.items())
    ]


def _kind(who: str) -> str:
    return "group" if who.startswith("@") else "token" if "!" in who else "user"


_ACL = {
    "path": Prop(optional=False), "roles": Prop(optional=False), "users": _TEXT, "groups": _TEXT, "tokens": _TEXT,
    "propagate": _FLAG, "delete": _FLAG,
}  # fmt: skip


@route("PUT", "/access/acl", parameters=_ACL)
def update_acl(lab: Lab, call: Call) -> Any:
    path = normalise_path(str(call.params["path"]))
    if path is None:
        raise bad_parameters(path=f"invalid ACL path '{call.params['path']}'")
    lab.access.demand(call.user, path, "Permissions.Modify")
    who = split_list(call.text("users") or "") + split_list(call.text("tokens") or "")
    who += [f"@{group}" for group in split_list(call.text("groups") or "")]
    if not who:
        raise bad_parameters(users="at least one of 'users', 'groups' or 'tokens' is required")
    for role in split_list(str(call.params["roles"])):
        if role not in lab.access.roles:
            raise refused(f"ACL update failed: role '{role}' does not exist\n")
        for subject in who:
            _change_acl(lab, call, subject, path, role)


def _change_acl(lab: Lab, call: Call, subject: str, path: str, role: str) -> None:
    if call.flag("delete"):
        lab.access.acl.get(path, {}).get(subject, {}).pop(role, None)
        return
    user = subject.partition("!")[0]
    if not subject.startswith("@") and (user not in lab.access.users):
        raise refused(f"ACL update failed: user '{user}' does not exist\n")
    lab.access.grant(subject, path, role, propagate=call.text("propagate") != "0")


@declared("GET", "/access/ticket")
def no_ticket(_lab: Lab, _call: Call) -> Any:
    """For login pages; says nothing."""


@declared("POST", "/access/ticket")
def log_in(lab: Lab, call: Call) -> Any:
    """A ticket for a password, or for a ticket that is still good. Second factors are not modelled."""
    user = call.text("username") or ""
    if realm := call.text("realm"):
        user = f"{user}@{realm}"
    found = lab.tickets.log_in(user, call.text("password") or "", lab.now())
    if found is None:
        raise ApiError(401, "authentication failure")
    return {**found, "clustername": "lab"}
