"""What is fast, measured against what else one could run; ratios taken in one run."""
