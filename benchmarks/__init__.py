"""Benchmarks of lilcache; each runs as ``python -m benchmarks.<name>``."""
