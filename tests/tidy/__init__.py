"""Check what the project promises of itself and no other tool checks: names, sizes, mirrors, locks, commands."""
