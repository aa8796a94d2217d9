"""Northwind Notes: a small merchant's shop. It knows Leavewell over HTTP alone and never imports `app`."""
