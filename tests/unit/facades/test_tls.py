"""Files of a certificate are looked at before a listener needs them, and named where they cannot be used."""

from pathlib import Path

import pytest

from router.facades.tls import Tls
from tests.support.certificate import make_certificate


def test_files_that_are_what_they_should_be_are_good(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost")
    Tls(cert_file=str(made.certificate), key_file=str(made.key)).read()
    Tls(cert_file=str(made.certificate), key_file=str(made.key), client_ca_file=str(made.authority)).read()


def test_files_that_are_not_are_named(tmp_path: Path) -> None:
    made = make_certificate(tmp_path, "localhost")
    good = {"cert_file": str(made.certificate), "key_file": str(made.key), "client_ca_file": str(made.authority)}
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for name in good:
        for bad in (str(rubbish), str(tmp_path / "missing.pem")):
            with pytest.raises(OSError, match=bad):
                Tls(**{**good, name: bad}).read()


def test_a_key_of_another_certificate_is_not_good(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    with pytest.raises(OSError, match="Name files in PEM"):
        Tls(
            cert_file=str(make_certificate(one, "localhost").certificate),
            key_file=str(make_certificate(other, "localhost").key),
        ).read()
