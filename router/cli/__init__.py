"""The commands: one module each. What takes long to import waits until its command is called."""
