"""Northwind's billing system, a service of its own in place of a Stripe. Knows nothing of Leavewell."""
