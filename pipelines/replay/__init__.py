"""The replay: a challenger answers journaled radiographs, and its answers are compared with the champion's.

``rescoring`` runs the challenger, ``accuracy`` counts the readers' verdicts, ``replay`` compares both models,
and ``verdict`` decides by the gate protocol. ``replay_report`` has the values that are stored.
"""
