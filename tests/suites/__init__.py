"""All suites as one table, run as the gate or as a soak campaign."""
