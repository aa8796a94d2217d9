"""Chargebee Billing, simulated from its published API documentation: API v2, Product Catalog 2.0."""
