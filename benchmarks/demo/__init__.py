"""A Gunicorn with four workers that share one lilcache, under load and a kill.

Runs as ``python -m benchmarks.demo``.
"""
