"""Northwind Notes, a merchant to try Leavewell with; it knows Leavewell only over HTTP."""
