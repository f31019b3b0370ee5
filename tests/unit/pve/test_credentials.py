"""Credentials in an obviously wrong form: the message names the key and the form, and quotes nothing."""

from __future__ import annotations

import pytest

from pve_evpn.pve.credentials import Credentials

SECRET = "12345678-1234-1234-1234-123456789abc"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"tokenId": f"root@pam!op={SECRET}"}, "tokenId holds the secret too: tokenId must look like user@realm!name"),
        ({"tokenId": f"PVEAPIToken=root@pam!op={SECRET}"}, "PVEAPIToken=, which belongs to the HTTP header"),
        ({"tokenId": "root!op", "token": SECRET}, "tokenId must look like user@realm!name"),
        ({"tokenId": "root@pam", "token": SECRET}, "tokenId must look like user@realm!name"),
        ({"tokenId": "root@pam!op"}, "the key 'token' is missing"),
        ({"tokenId": "root@pam!op", "token": f"root@pam!op={SECRET}"}, "'token' must hold the secret alone"),
        ({"tokenId": "root@pam!op", "token": f"{SECRET}\nmore"}, "'token' must be one word on one line"),
        ({"token": SECRET}, "the key 'tokenId' is missing beside 'token'"),
        ({"username": "root", "password": SECRET}, "username must name its realm, as in root@pam"),
        ({"username": "root@pam"}, "the key 'password' is missing"),
        ({"username": "root@pam", "password": f"{SECRET}\n"}, "the key 'password' holds a line break"),
        ({}, "neither 'tokenId' with 'token' nor 'username' with 'password'"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_the_message_names_the_key_and_the_form(data: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError) as caught:
        Credentials.from_secret(data)
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_line_break_after_a_token_is_no_part_of_it() -> None:
    made = Credentials.from_secret({"tokenId": "evpn@pve!op\n", "token": f"{SECRET}\n"})
    assert (made.user, made.token_name, made.secret) == ("evpn@pve", "op", SECRET)
    assert SECRET not in repr(made)
