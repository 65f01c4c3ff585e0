"""Fault campaigns: a fault proxy in front of each part, kills of processes, rolling restarts."""
