"""From a pod, its cluster context and a policy to a decision; and whether a pod is as it was decided. Pure."""
