"""From a challenger's bundle to all of the traffic, step by step, or back."""
