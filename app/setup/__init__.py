"""An organization and its environments as an operator sets them up: from the command line, the demo, a dashboard."""
