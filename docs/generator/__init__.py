"""Writes the pages of ``docs/reference`` that follow from the code: ``make docs``.

The code gives names, types, levels and statuses. ``docs/reference/meanings.toml`` gives the words.
"""
