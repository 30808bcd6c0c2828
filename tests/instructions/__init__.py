"""Instructions that each operation takes, which no machine's mood changes."""
