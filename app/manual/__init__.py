"""Cancellations that a person at the merchant carries out: kept, told, closed."""
