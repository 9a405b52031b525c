"""Detection: from a pod and its surroundings to the backends it talks to. Pure, as the core is.

`content` turns one value into what it says without its secrets; `detect` resolves what a whole pod says against
the Services around it. `catalog.yaml` is the data that both work from.
"""
