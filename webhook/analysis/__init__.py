"""Analyses of a whole cluster: diagnosis, the plan of a policy change, and policy tests."""
