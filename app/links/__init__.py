"""Cancel links: minted by a merchant's backend, exchanged by one customer's browser."""
