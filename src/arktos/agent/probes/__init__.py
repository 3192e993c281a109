"""Asks containers how they are.

checks     one check, over the network or inside the container
judging    from single checks to a verdict: thresholds (pure)
running    who is asked when: a task per container and probe
"""
