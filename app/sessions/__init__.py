"""One customer's walk through a flow, from the exchange of a link to its outcome."""
