"""Provisioning and set-up, with nothing but the standard library."""
