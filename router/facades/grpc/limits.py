"""Carry what the operator has set for the gRPC listener."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcLimits:
    max_message: int
    """Bytes of one message, in both directions."""
    write_timeout_ns: int
    """How long a caller may take nothing of a stream."""
    connection_age_ns: int
    """After which a connection is asked to come anew, so that balancers can spread it again."""
    connection_grace_ns: int
    """How long its calls may then take."""
    reflection: bool = True
