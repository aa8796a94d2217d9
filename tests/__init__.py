"""Leavewell's tests."""
