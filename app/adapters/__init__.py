"""What leaves the process: network, signatures, encryption, the clock. Knows no feature and no request."""
