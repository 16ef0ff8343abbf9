"""Name the files with which a listener serves TLS."""

import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Paths of files in PEM."""

    cert_file: str
    """The certificate's chain."""
    key_file: str
    client_ca_file: str | None = None
    """Whose certificates callers must show; None: none is asked for."""

    def read(self) -> None:
        """See that they can be used, for a listener that reads them only later. Raises `OSError`."""
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.client_ca_file).load_cert_chain(
                self.cert_file, self.key_file
            )
        except OSError as exc:
            files = ", ".join(filter(None, (self.cert_file, self.key_file, self.client_ca_file)))
            raise OSError(f"{files}: {exc}. Name files in PEM, a certificate's chain and its key") from exc
