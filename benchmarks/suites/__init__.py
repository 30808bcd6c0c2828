"""What is measured of every peer: each file makes the cells of one table."""
