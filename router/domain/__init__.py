"""Every decision, pure: no await, clock, chance, environment, log or I/O. Same input, same output, for ever."""
