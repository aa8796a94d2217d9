"""The merchant's systems that we talk to: the billing provider and the customer data endpoint."""
