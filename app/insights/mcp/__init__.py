"""An MCP server over what the Data API knows: read-only, with the same keys and scopes, every answer bounded."""
