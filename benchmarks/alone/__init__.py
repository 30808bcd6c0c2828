"""What is measured outside uWSGI: each file makes one table by itself.

A file has ``TITLE``, ``HEADS``, ``NOTE``, which says how to read it, and
``rows(folder)``.
"""
