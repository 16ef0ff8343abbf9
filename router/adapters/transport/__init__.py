"""HTTP/1.1 to one origin, in parts: where to, by which way, what is written, and what comes back."""
