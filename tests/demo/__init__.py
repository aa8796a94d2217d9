"""The demo merchant: its shop, its billing service, the runner."""
