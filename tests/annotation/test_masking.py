"""Personal data in texts: what is masked, and what looks like it and stays. Numbers are published examples."""

from __future__ import annotations

import pytest

from annotation.masking import KINDS, Masker

FOUND = [
    ("Mail a.b+c@example.co.uk, please; or müller@exämple.de.", "Mail [email], please; or [email]."),
    ("请联系zhang@example.com谢谢", "请联系[email]谢谢"),
    ("IBAN DE89 3704 0044 0532 0130 00 bitte", "IBAN [iban] bitte"),
    ("DE89370400440532013000. GB82 WEST 1234 5698 7654 32 OK THEN", "[iban]. [iban] OK THEN"),
    ("Card 4111 1111 1111 1111 12/27 or 5500-0055-5555-5559", "Card [card] 12/27 or [card]"),
    ("from 192.0.2.20 or 198.51.100.1:8080, 2001:db8::1", "from [ip] or [ip]:8080, [ip]"),
    ("fe80::1ff:fe23:4567:890a.", "[ip]."),
    ("Call +49 (0)30 1234567, 0049 30 1234567 or 030 1234567", "Call [phone], [phone] or [phone]"),
    ("(555) 123-4567, 555-123-4567, 0171/2345678", "[phone], [phone], [phone]"),
    ("01 23 45 67 89 ; 电话13812345678谢谢", "[phone] ; 电话[phone]谢谢"),
]
KEPT = [
    "On 2026-11-28 at 10:30:45, 01-02-2026, 1,000,000 and 3.14159265358979",
    "Card 4111-1111-1111-1112 and order 1234567890123456",  # wrong check digits
    "IBAN DE88 3704 1044 1532 1130 10",
    "ids 1700000000000, 123456789012, a1b2c3d4e5f6",
    "localhost is 127.0.0.1 or ::1; v1.2.3; std::vector; x :: Int",
    "@decorator, a @ b, user@localhost",
]


@pytest.mark.parametrize(("text", "masked"), FOUND)
def test_what_is_found_is_masked_and_counted_by_kind(text, masked):
    masker = Masker()
    assert masker.text(text) == masked
    assert dict(masker.found) == {kind: count for kind in KINDS if (count := masked.count(f"[{kind}]"))}
    assert Masker().text(masked) == masked


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_it_stays(text):
    assert Masker().text(text) == text
