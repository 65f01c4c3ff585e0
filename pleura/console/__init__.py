"""The command ``pleura``: the only command of this project.

A module of a command group imports what its commands need inside its functions, so that ``--help`` is quick.
"""
