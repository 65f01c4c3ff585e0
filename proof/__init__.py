"""Campaigns that prove claims by minutes of load, faults and attacks: ``make proof-...``, ``docs/proof``.

What can be shown in seconds is a test under ``tests/``; what is a ratio of speeds is a benchmark.
"""
