"""The tests tested: seeded bugs as patches, and mutants of the core."""
