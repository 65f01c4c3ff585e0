"""The command ``pleura``."""
