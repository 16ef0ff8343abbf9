"""Say what a request asks of the deployment that serves it."""

from typing import Final

CAPABILITIES: Final = frozenset({"tools", "json_schema", "vision", "audio_input", "pdf_input"})
"""What a request can ask for. A deployment may claim more, which is then only shown."""
