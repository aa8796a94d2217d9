"""Changes at the billing provider: written before they are tried, tried until it is known what became of them."""
