"""Load campaigns: overload and endurance."""
