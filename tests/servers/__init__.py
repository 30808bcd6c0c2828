"""Real servers over one segment, their workers killed, stopped and starved under load.

Runs as ``python -m tests.servers``.
"""
