"""Campaigns of faults: a fault proxy, kills, restarts."""
