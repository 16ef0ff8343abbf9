"""Decode, call the pipeline, encode: nothing else happens here, whatever the wire."""
