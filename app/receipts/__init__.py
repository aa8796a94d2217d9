"""Receipts: written when something was changed or requested, signed, and mailed by the worker."""
