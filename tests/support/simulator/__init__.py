"""What all simulated vendors share. Each has a package of its own beside this one: `tests/support/stripe`, …"""
