"""The published reference: the API's OpenAPI document, the flow format's schema, and a page to read them on."""
