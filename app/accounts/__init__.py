"""Organizations, their environments and API keys: who may ask, and in which mode."""
