"""Know the wire dialects that callers and providers speak, and turn one into another."""
