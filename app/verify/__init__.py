"""Addresses proven by a one-time code: asked for in a browser, looked up and mailed by the worker."""
