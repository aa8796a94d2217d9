"""A simulated Paddle Billing, from its published API reference (https://developer.paddle.com/api-reference)."""
