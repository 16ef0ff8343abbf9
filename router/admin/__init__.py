"""The control plane: one service layer under every façade's administration."""
