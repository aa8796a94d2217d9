"""What merchants' programs ask for afterwards: records of sessions, how many there were of which kind, and usage."""
