"""Braintree's recurring billing, simulated: its XML, its statuses, its cycles."""
