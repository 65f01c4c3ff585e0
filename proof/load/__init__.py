"""Campaigns of load: overload and endurance."""
