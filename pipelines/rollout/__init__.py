"""Give a challenger all of the traffic step by step, or roll it back to the champion.

Read ``rollout`` (the loop and its lease), then ``phases`` (what happens in each phase). ``target`` and its
two implementations ``local`` and ``kserve`` split the traffic. ``monitor`` and ``observation`` judge the
canary.
"""
