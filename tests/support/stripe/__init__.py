"""A simulated Stripe Billing, as far as docs.stripe.com tells what it does. The library's types say what exists."""
