"""What is known of one person: found by address, shown, and erased, at a wish or when its time is over."""
