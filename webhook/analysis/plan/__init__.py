"""The plan of a policy change: the workloads that change, and the impact. Pure: all input is passed in."""
