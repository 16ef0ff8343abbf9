"""Name the files with which a listener serves TLS."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Paths of files in PEM."""

    cert_file: str
    """The certificate's chain."""
    key_file: str
    client_ca_file: str | None = None
    """Whose certificates callers must show; None: none is asked for."""
