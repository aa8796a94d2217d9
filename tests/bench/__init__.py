"""`make bench`: how fast the product is against bare handlers, what it weighs, how soon it is there. Asserts nothing."""
