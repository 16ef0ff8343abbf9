"""Thin services over the control plane: decode, ask it, encode."""
