"""Mask personal data in texts that products send: a stated set of patterns, each with its own mark.

Numbers with check digits are masked only where these are right, so that few other numbers are. Names and addresses of
places are not found: no pattern tells them from other words.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from stdnum import iban, luhn

_LETTER = "A-Za-z0-9À-ɏ"  # ASCII boundaries: other scripts write no space between words
_EMAIL = re.compile(
    rf"(?<![{_LETTER}._%+'-])[{_LETTER}._%+'-]{{1,64}}@(?:[{_LETTER}-]{{1,63}}\.)+"
    r"(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24})(?![A-Za-z0-9-])"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}")
_CARD = re.compile(r"(?<![0-9])[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}")
_IPV4 = re.compile(r"(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?!\.?[0-9])")
_IPV6 = re.compile(r"(?<![A-Za-z0-9_:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![A-Za-z0-9_:])")
_PHONE = re.compile(
    r"(?=[+(0-9])(?<![A-Za-z0-9_+])(?:"
    r"(?:\+|00)[1-9](?:[ ()./-]{0,3}[0-9]){6,14}"  # international
    r"|\(0?[0-9]{2,4}\)[ ./-]?[0-9](?:[ ./-]?[0-9]){4,9}"  # (030) 123456, (555) 123-4567
    r"|0[0-9]{2,4}[ /-][0-9](?:[ ./-]?[0-9]){4,9}"  # 030 123456, 0171-2345678
    r"|0[1-9](?:[ .-][0-9]{2}){4}"  # 01 23 45 67 89
    r"|[0-9]{3}[ .-][0-9]{3}[ .-][0-9]{4}"  # 555-123-4567
    r"|1[3-9][0-9]{9}"  # Chinese mobile numbers
    r")(?![A-Za-z0-9_])"
)
_LONG_NUMBER = re.compile(r"[0-9](?:[^0-9\n]{0,3}[0-9]){6}")  # IBANs, cards and phone numbers have one
SHORTEST_CARD = 13
MIN_PHONE_DIGITS, MAX_PHONE_DIGITS = 7, 15


def _ends(text: str, start: int, end: int) -> Iterator[int]:
    """Yield where a number may end, the longest first: a pattern with spaces also takes what follows the number."""
    for at in range(end, start, -1):
        if not (text[at : at + 1].isascii() and text[at : at + 1].isalnum()) and text[at - 1].isalnum():
            yield at


def _is_iban(found: str) -> bool:
    return bool(iban.is_valid(found))


def _is_card(found: str) -> bool:
    digits = found.replace(" ", "").replace("-", "")
    return len(digits) >= SHORTEST_CARD and bool(luhn.is_valid(digits))


def _is_address(found: str) -> bool:
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified) and any(letter.isdigit() for letter in found)


def _is_phone(found: str) -> bool:
    return MIN_PHONE_DIGITS <= sum(letter.isdigit() for letter in found) <= MAX_PHONE_DIGITS


KINDS = ("email", "iban", "card", "ip", "phone")  # in this order: what one has masked is not looked at again


def has_email(text: str) -> bool:
    """Return whether a text has an email address."""
    return "@" in text and _EMAIL.search(text) is not None


class Masker:
    """Masks texts, and counts in `found` what was masked, by kind."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()

    def text(self, text: str) -> str:
        """Return a text with [email], [iban], [card], [ip] and [phone] in place of what the patterns find."""
        if "@" in text:
            text = self._replaced(text, "email", _EMAIL, bool)
        has_number = _LONG_NUMBER.search(text) is not None
        if has_number:
            text = self._replaced(text, "iban", _IBAN, _is_iban, cut=True)
            text = self._replaced(text, "card", _CARD, _is_card, cut=True)
        if text.count(":") > 1:
            text = self._replaced(text, "ip", _IPV6, _is_address)
        if text.count(".") > 2:
            text = self._replaced(text, "ip", _IPV4, _is_address)
        return self._replaced(text, "phone", _PHONE, _is_phone) if has_number else text

    def value(self, value: Any) -> Any:
        """Return a JSON value with its texts masked, however deep; names of fields stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each) for each in value]
        if isinstance(value, dict):
            return {name: self.value(each) for name, each in value.items()}
        return value

    def _replaced(
        self, text: str, kind: str, pattern: re.Pattern[str], is_right: Callable[[str], bool], *, cut: bool = False
    ) -> str:
        """Return the text with a mark for each find that is right; `cut`: the beginning of a find may be it."""
        parts: list[str] = []
        done = at = 0
        while found := pattern.search(text, at):
            start = found.start()
            ends = _ends(text, start, found.end()) if cut else [found.end()]
            end = next((end for end in ends if is_right(text[start:end])), None)
            if end is None:
                at = start + 1
                continue
            parts += [text[done:start], f"[{kind}]"]
            done = at = end
            self.found[kind] += 1
        return "".join([*parts, text[done:]]) if parts else text
