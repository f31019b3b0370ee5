"""Rules about one object or text, for the API server (CEL) and for pydantic; how tools merge lists.

A rule that one object can break by itself is checked by the API server (:class:`Rule`, :class:`Matching`), so that
``kubectl apply`` says what is wrong. pydantic repeats those that planning relies on, because objects may be older
than the rules. Nothing here looks at a second object: that is ``domain.plan``'s matter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

VALIDATIONS = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True)
class Rule:
    """One CEL rule of the API server. As annotation of a type it is about that value (``self``)."""

    expression: str
    message: str
    field_path: str | None = None
    #: The rule is asked when an object is created too; ``oldSelf`` is then an optional value.
    optional_old_self: bool = False

    def as_schema(self) -> dict[str, Any]:
        """The rule as a CRD takes it."""
        made: dict[str, Any] = {"rule": self.expression, "message": self.message}
        if self.field_path:
            made["fieldPath"] = self.field_path
        return {**made, "optionalOldSelf": True} if self.optional_old_self else made

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core)
        return {**schema, VALIDATIONS: [*schema.get(VALIDATIONS, ()), self.as_schema()]}


@dataclass(frozen=True, slots=True)
class Matching:
    """The whole text matches ``pattern`` (RE2: no look-around); ``message`` says so in words, here and there."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return Rule(self.as_cel(), self.message).__get_pydantic_json_schema__(core, handler)

    def as_cel(self, subject: str = "self") -> str:
        """The check as a CEL expression about ``subject``."""
        return f"{subject}.matches(r'^(?:{self.pattern})$')"

    def _check(self, text: str) -> str:
        if not re.fullmatch(self.pattern, text):
            raise ValueError(self.message)
        return text


@dataclass(frozen=True, slots=True)
class Unlike:
    """The text neither begins with one of the prefixes nor matches ``pattern`` as a whole; ``message`` says so.

    Prefixes are apart because the API server counts them as much cheaper than a pattern.
    """

    prefixes: tuple[str, ...]
    pattern: str
    message: str

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        either = " || ".join(self.as_cel())
        return Rule(f"!({either})", self.message).__get_pydantic_json_schema__(core, handler)

    def as_cel(self, subject: str = "self") -> tuple[str, str]:
        """CEL expressions about ``subject``: one of them is true of such a text."""
        prefixes = ", ".join(f"'{prefix}'" for prefix in self.prefixes)
        return f"[{prefixes}].exists(p, {subject}.startsWith(p))", f"{subject}.matches(r'^(?:{self.pattern})$')"

    def matches(self, text: str) -> bool:
        return text.startswith(self.prefixes) or re.fullmatch(self.pattern, text) is not None


#: Separators of lines and paragraphs, and the marks that change the direction of writing; for RE2 and for Python.
_MARKS_RE2 = r"\p{Zl}\p{Zp}\x{061C}\x{200E}\x{200F}\x{202A}-\x{202E}\x{2066}-\x{2069}"


_MARKS = "\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"


@dataclass(frozen=True, slots=True)
class FreeText:
    """Text in which some characters are refused; ``re2`` and ``pattern`` are the same set of them.

    Control characters and line breaks can end a line of one of Proxmox' files, or of a log, and begin another; marks of
    direction make a person read something else than what is stored. Every text that no :class:`Matching` restricts is
    annotated with :data:`ONE_LINE` or :data:`SEVERAL_LINES`.
    """

    message: str
    re2: str
    pattern: re.Pattern[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return Rule(f"!self.matches(r'{self.re2}')", self.message).__get_pydantic_json_schema__(core, handler)

    def _check(self, text: str) -> str:
        if self.pattern.search(text):
            raise ValueError(self.message)
        return text


ONE_LINE = FreeText(
    "must be one line without control characters and bidirectional marks",
    rf"[\p{{Cc}}{_MARKS_RE2}]",
    re.compile(f"[\x00-\x1f\x7f-\x9f{_MARKS}]"),
)


SEVERAL_LINES = FreeText(
    "must not hold control characters other than line breaks and tabs, nor bidirectional marks",
    rf"[\x{{00}}-\x{{08}}\x{{0B}}\x{{0C}}\x{{0E}}-\x{{1F}}\x{{7F}}-\x{{9F}}{_MARKS_RE2}]",
    re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f{_MARKS}]"),
)


def rules(*made: Rule) -> dict[str, Any]:
    """``json_schema_extra`` of a model that carries rules about the object as a whole."""
    return {VALIDATIONS: [each.as_schema() for each in made]}


def keyed(*keys: str) -> dict[str, Any]:
    """``json_schema_extra`` of a list whose entries are told apart by ``keys``, so that tools merge it by entry."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}


ATOMIC: dict[str, Any] = {"x-kubernetes-list-type": "atomic"}


def immutable(field: str, instead: str = "make a new object instead") -> Rule:
    """A required field that cannot change."""
    return Rule("self == oldSelf", f"{field} cannot change: {instead}")


#: Whether the status says that Proxmox has nothing of the object, and that no transaction can be creating it now. Only
#: a rule of a whole object sees its status.
_NOT_PROGRAMMED = (
    "(has(oldSelf.status) && !has(oldSelf.status.origin) && has(oldSelf.status.conditions) && "
    "oldSelf.status.conditions.exists(c, (c.type == 'Accepted' && c.status == 'False') || (c.type == 'Programmed' && "
    "c.reason in ['AwaitingApproval', 'OutsideWindow', 'WaitingForDependencies'])))"
)


def fixed_once_programmed(field: str, unchanged: str, message: str) -> Rule:
    """A field that cannot change once Proxmox may have the object.

    Args:
        field: The name in the spec.
        unchanged: A CEL expression about ``self`` and ``oldSelf``, the whole objects.
        message: What the user reads; it says too that an object that was refused can still be corrected.
    """
    return Rule(f"{_NOT_PROGRAMMED} || ({unchanged})", message, f".spec.{field}")


#: An optional name that is given at creation: nothing may rename what Proxmox and its nodes know by it.
ID_FIXED = fixed_once_programmed(
    "id",
    "has(self.spec.id) == has(oldSelf.spec.id) && (!has(self.spec.id) || self.spec.id == oldSelf.spec.id)",
    "id is chosen at creation and cannot be changed, added or removed once the object is programmed: make a new "
    "object instead",
)


def only_one_of(*fields: str, exactly: bool = True) -> str:
    """CEL: (at most or exactly) one of the optional fields is set."""
    listed = ", ".join(f"has(self.{field})" for field in fields)
    return f"[{listed}].filter(x, x).size() {'==' if exactly else '<='} 1"
