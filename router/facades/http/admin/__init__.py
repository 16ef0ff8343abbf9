"""Thin routes over the control plane: decode, ask the service, encode."""
