"""The gRPC façade."""
