"""What is measured outside uWSGI: each file makes one table by itself.

A file has ``TITLE``, ``NOTE``, which says how to read it, and ``rows(folder)``, whose
rows are figures by name. ``COLUMNS`` says by head how a row's figures are written
there, for ``str.format``.
"""
