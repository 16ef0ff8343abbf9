"""What the pipeline needs from the world, one duty a Protocol; adapters implement them, `bootstrap.py` joins them."""
