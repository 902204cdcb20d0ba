"""What is shown of a claim that fails: the claim, the evidence, and how to ask it again."""

from collections.abc import Mapping
from typing import Any

import pytest

from harness.suite import layout
from harness.suite.claims import PROPERTY, ClaimFails
from harness.verdicts.rules import Verdict, in_unit, interval_in_words

# What asks for pytest's own account of a failed assertion.
_OWN_ACCOUNT = ("long", "native")

_INDENT = "  "
# How wide that is together with the column of names.
_ASIDE = 12


def told(item: pytest.Item, error: BaseException, again: str) -> Any:
    """Lay out for pytest what is known of a claim that fails, in place of the inside of an assertion.

    Args:
        item: The claim's test.
        error: What ended it.
        again: The command that asks it again.

    Returns:
        None where a claim did not fail by its evidence, or pytest's own account is asked for by --tb=long.
    """
    if not isinstance(error, AssertionError) or item.config.option.tbstyle in _OWN_ACCOUNT:
        return None
    entries: list[Any] = [value for name, value in item.user_properties if name == PROPERTY]
    failed = [entry for entry in entries if entry["verdict"] == Verdict.FAILS.value]
    if not failed:
        return None
    words = _words(item, failed[-1], again, str(error) if isinstance(error, ClaimFails) else "")
    # Without a traceback, yet at its place.
    in_words = pytest.fail.Exception(words, pytrace=False).with_traceback(error.__traceback__)
    shown: Any = item.repr_failure(pytest.ExceptionInfo.from_exception(in_words))
    # What pytest's short summary says of it, in full where it runs in CI, and a JUnit file in one attribute.
    shown.reprcrash.message = failed[-1]["statement"]
    return shown


def _words(item: pytest.Item, entry: Mapping[str, Any], again: str, own: str) -> str:
    """Say what the claim is, what speaks against it, by default its figure, and how to ask it again."""
    width = layout.width_of(item.config.pluginmanager.getplugin("terminalreporter"))
    if own:
        evidence = own.splitlines()
    else:
        folded = {name: layout.folded(value, width - _ASIDE) for name, value in _evidence(entry).items()}
        evidence = [
            f"{'' if place else name + ':':10}{part}"
            for name, parts in folded.items()
            for place, part in enumerate(parts)
        ]
    lines = [*evidence, f"{'again:':10}{again}"]
    return "\n".join([*layout.folded(entry["statement"], width), *(_INDENT + line for line in lines)])


def _evidence(entry: Mapping[str, Any]) -> dict[str, str]:
    found = {
        "subject": entry["subject"],
        "metric": entry["metric"],
        "value": in_unit(entry["value"], percent=entry["percent"]),
        "needs": entry["relation"],
        "interval": interval_in_words(entry["interval"], percent=entry["percent"], alpha=entry["alpha"]),
        "images": f"{entry['images']:,}" if entry["images"] else "as published",
        "protocol": entry["protocol"],
        "because": entry["reason"],
    }
    return {name: value for name, value in found.items() if value}
