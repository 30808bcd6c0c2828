"""What is measured of every peer: each file makes the cells of one table.

A file has ``TITLE``, ``SIZE_MB``, ``BY_VERB``, whether gets and sets have a table each,
and ``cells(name, verbs)``.
"""
