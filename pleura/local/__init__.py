"""The one-machine stack: the servers that Pleura stands on, from wheels, and how they are kept together."""
