"""Mails that are owed, composed and sent. Knows kinds, data and templates; no receipt, code or session."""
