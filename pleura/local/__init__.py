"""The stack of one machine: the servers of Pleura and the servers that they need, run by one process."""
