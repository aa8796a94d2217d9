"""What merchants are told of what happened."""
