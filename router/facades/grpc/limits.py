"""Carry what the operator has set for the gRPC listener."""

from dataclasses import dataclass

from router.domain.instants import NS_PER_S


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
    ping_ns: int = 20 * NS_PER_S
    """After so long without a sign a connection is asked whether it lives."""
    pong_ns: int = 8 * NS_PER_S
    """For the answer: a dead peer is found within half a minute."""
    pinged_ns_min: int = 5 * NS_PER_S
    """How often clients may ask, also while they call nothing. Some do every 10 s."""
