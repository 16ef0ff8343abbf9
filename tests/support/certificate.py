"""A certificate for names on this machine, and the authority that vouches for it, made for one test."""

from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """PEM files: what a server shows and keeps, and what a client trusts."""

    certificate: Path
    key: Path
    authority: Path


def make_certificate(folder: Path, *names: str) -> Certificate:
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    made = Certificate(
        certificate=folder / "certificate.pem", key=folder / "key.pem", authority=folder / "authority.pem"
    )
    issued.cert_chain_pems[0].write_to_path(str(made.certificate))
    issued.private_key_pem.write_to_path(str(made.key))
    authority.cert_pem.write_to_path(str(made.authority))
    return made
