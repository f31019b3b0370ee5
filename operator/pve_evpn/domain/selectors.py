"""Kubernetes label selectors: whether a set of labels matches. Nothing else of Kubernetes is here."""

from __future__ import annotations

from collections.abc import Mapping

from pve_evpn.api.types import LabelSelector


def matches(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` satisfy ``selector``; an empty selector matches everything, None matches nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.match_labels or {}).items()):
        return False
    return all(
        _expression(expr.operator, expr.key, tuple(expr.values or ()), labels)
        for expr in selector.match_expressions or ()
    )


def _expression(operator: str, key: str, values: tuple[str, ...], labels: Mapping[str, str]) -> bool:
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False
