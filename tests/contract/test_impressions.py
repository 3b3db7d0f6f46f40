"""An impression proves that this user was shown this item, then and no other; nobody without a secret can make one."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.impressions import TOKEN_CHARACTERS, Impressions, Proof
from contract.secret_files import make_secret_file
from tests.strategies import external_ids

OLD, NEW, OTHER = b"old" * 11, b"new" * 11, b"other" * 7
NOW_MS, TTL_S = 1_795_593_600_000, 3_600
ISSUED = Impressions([OLD], TTL_S)
[TOKEN] = ISSUED.sign("u1", [b"v1"], "000042", NOW_MS)


def test_the_token_is_what_its_description_says() -> None:
    head = b"\x01" + NOW_MS.to_bytes(6, "big") + (42).to_bytes(7, "big")
    said = b"winnow impression\x00" + head + b"\x00\x02u1" + b"\x00\x02v1"
    mac = hmac.new(OLD, said, hashlib.sha256).digest()[:16]
    assert base64.urlsafe_b64encode(head + mac).decode() == TOKEN
    assert len(TOKEN) == TOKEN_CHARACTERS <= 64


@given(external_ids, st.lists(external_ids, min_size=1, max_size=5), st.integers(0, 10**12), st.integers(0, TTL_S))
def test_what_was_shown_is_proved_for_as_long_as_it_lives(user: str, items: list[str], version: int, age: int) -> None:
    tokens = ISSUED.sign(user, [item.encode() for item in items], f"{version:06d}", NOW_MS)
    for token, item in zip(tokens, items, strict=True):
        assert ISSUED.proof(token, user, item, NOW_MS + 1_000 * age) is Proof.VALID


@given(external_ids, external_ids, external_ids, external_ids)
def test_an_impression_of_one_pair_proves_no_other(user: str, item: str, other_user: str, other_item: str) -> None:
    [token] = ISSUED.sign(user, [item.encode()], "prior", NOW_MS)
    proof = ISSUED.proof(token, other_user, other_item, NOW_MS)
    assert proof is (Proof.VALID if (user, item) == (other_user, other_item) else Proof.WRONG)


def test_text_cannot_move_between_user_and_item() -> None:
    [token] = ISSUED.sign("ab", [b"c"], "1", NOW_MS)
    assert ISSUED.proof(token, "a", "bc", NOW_MS) is Proof.WRONG
    assert ISSUED.proof(token, "ab\x00\x01", "c", NOW_MS) is Proof.WRONG


def test_no_bit_of_a_token_can_be_changed() -> None:
    raw = base64.urlsafe_b64decode(TOKEN)
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        token = base64.urlsafe_b64encode(flipped).decode()
        assert ISSUED.proof(token, "u1", "v1", NOW_MS) in (Proof.WRONG, Proof.FOREIGN)


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text("ABab01-_+/=", min_size=40, max_size=40)
)
def test_no_other_text_is_taken(text: str) -> None:
    assert (ISSUED.proof(text, "u1", "v1", NOW_MS) is Proof.VALID) == (text == TOKEN)


def test_one_token_has_one_text() -> None:
    tokens = ISSUED.sign("u1", [b"%d" % number for number in range(200)], "000042", NOW_MS)
    number, odd = next((n, token) for n, token in enumerate(tokens) if {"-", "_"} <= set(token))
    assert ISSUED.proof(odd, "u1", str(number), NOW_MS) is Proof.VALID
    for text in (
        odd.replace("-", "+"),
        odd.replace("_", "/"),
        odd + "=",
        odd + "\n",
        odd[:-1] + "=",
        odd[:-4],
        "é" * 40,
    ):
        assert ISSUED.proof(text, "u1", str(number), NOW_MS) is Proof.FOREIGN


@pytest.mark.parametrize(
    ("age_ms", "proof"),
    [
        (1_000 * TTL_S, Proof.VALID),
        (1_000 * TTL_S + 1, Proof.EXPIRED),
        (-5_000, Proof.VALID),
        (-5_001, Proof.FUTURE),
    ],
)
def test_it_lives_its_time_and_is_not_from_the_future(age_ms: int, proof: Proof) -> None:
    assert ISSUED.proof(TOKEN, "u1", "v1", NOW_MS + age_ms) is proof


def test_while_two_secrets_live_both_prove_and_the_first_signs() -> None:
    both, after = Impressions([NEW, OLD], TTL_S), Impressions([NEW], TTL_S)
    [renewed] = both.sign("u1", [b"v1"], "000042", NOW_MS)
    assert {both.proof(token, "u1", "v1", NOW_MS) for token in (TOKEN, renewed)} == {Proof.VALID}
    assert after.proof(renewed, "u1", "v1", NOW_MS) is Proof.VALID
    assert after.proof(TOKEN, "u1", "v1", NOW_MS) is Proof.WRONG
    assert Impressions([OTHER], TTL_S).proof(TOKEN, "u1", "v1", NOW_MS) is Proof.WRONG


def test_the_age_of_a_forged_token_is_not_told() -> None:
    forged = base64.urlsafe_b64encode(b"\x01" + bytes(29)).decode()
    assert ISSUED.proof(forged, "u1", "v1", NOW_MS) is Proof.WRONG


def test_an_event_without_one_is_told_apart_from_one_with_another_rankers() -> None:
    assert ISSUED.proof("", "u1", "v1", NOW_MS) is Proof.ABSENT
    assert ISSUED.proof("imp-5f0c6c1e", "u1", "v1", NOW_MS) is Proof.FOREIGN


def test_secrets_come_from_a_file(tmp_path: Path) -> None:
    make_secret_file(tmp_path / "secrets")
    one, again = (Impressions.of_file(tmp_path / "secrets", TTL_S) for _ in range(2))
    [token] = one.sign("u1", [b"v1"], "1", NOW_MS)
    assert again.proof(token, "u1", "v1", NOW_MS) is Proof.VALID
