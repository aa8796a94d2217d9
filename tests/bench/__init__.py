"""`make bench`: how fast the product is beside bare handlers, what it weighs, how soon it is there."""
