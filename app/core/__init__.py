"""The pure core: decides everything, touches nothing. No clock, no randomness, no I/O, no framework."""
