"""One module per billing system, each an implementation of `core.billing.BillingProvider`."""
