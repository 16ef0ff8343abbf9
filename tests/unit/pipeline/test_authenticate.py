"""Which keys are good, and that all others look alike."""

import hashlib
from dataclasses import replace

import pytest

from router.domain.faults import RouterError
from router.domain.principal import KeyEntry
from router.pipeline.authenticate import BAD_KEY, STORE_DOWN, authenticate
from tests.support.fakes import principal, snapshot

SECRET = "sk-good-key"
DIGEST = hashlib.sha256(SECRET.encode()).digest()
ENTRY = KeyEntry(sha256=DIGEST, principal=principal())


def check(credential: str | None, entry: KeyEntry = ENTRY, *, local: bool = True, unseen_ns: int = 0) -> object:
    return authenticate(
        credential,
        snapshot=replace(snapshot(), keys={DIGEST: entry}, keys_grace_ns=5),
        wall_ns=100,
        local=local,
        store_unseen_ns=unseen_ns,
    )


def test_a_good_key_gives_its_principal() -> None:
    assert principal() == check(SECRET)


@pytest.mark.parametrize("credential", [None, "", "sk-good-ke", "sk-good-key ", "x" * 5_000, "\x00", "sk-\udcff"])
def test_any_other_credential_is_bad(credential: str | None) -> None:
    with pytest.raises(RouterError) as caught:
        check(credential)

    assert BAD_KEY is caught.value.refusal


@pytest.mark.parametrize("entry", [replace(ENTRY, revoked=True), replace(ENTRY, expires_ns=100)])
def test_a_key_that_was_good_is_as_bad_as_one_that_never_was(entry: KeyEntry) -> None:
    with pytest.raises(RouterError) as caught:
        check(SECRET, entry)

    assert BAD_KEY is caught.value.refusal


def test_a_key_is_good_until_it_expires() -> None:
    assert principal() == check(SECRET, replace(ENTRY, expires_ns=101))


def test_a_local_key_is_good_on_this_machine_only() -> None:
    local = replace(ENTRY, local_only=True)

    assert principal() == check(SECRET, local)
    with pytest.raises(RouterError):
        check(SECRET, local, local=False)


STORED = replace(ENTRY, stored=True)


@pytest.mark.parametrize(
    ("credential", "entry", "unseen_ns"),
    [(SECRET, STORED, 6), ("sk-made-elsewhere-meanwhile", STORED, 1), (SECRET, replace(STORED, revoked=True), 6)],
)
def test_a_key_that_nobody_can_look_up_is_not_called_bad(credential: str, entry: KeyEntry, unseen_ns: int) -> None:
    with pytest.raises(RouterError) as caught:
        check(credential, entry, unseen_ns=unseen_ns)

    assert STORE_DOWN is caught.value.refusal


def test_a_stored_key_is_good_for_a_grace_and_one_of_the_file_for_good() -> None:
    assert principal() == check(SECRET, STORED, unseen_ns=5)
    assert principal() == check(SECRET, unseen_ns=10**18)


@pytest.mark.parametrize(
    ("credential", "entry"), [("no-key-of-ours", STORED), (SECRET, replace(STORED, revoked=True)), (None, STORED)]
)
def test_what_is_bad_whatever_the_store_says_stays_bad(credential: str | None, entry: KeyEntry) -> None:
    with pytest.raises(RouterError) as caught:
        check(credential, entry, unseen_ns=1)

    assert BAD_KEY is caught.value.refusal
