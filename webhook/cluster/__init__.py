"""The Kubernetes API: one client, informers (list and watch), leader election, Secrets and webhook configurations.

Only `client` imports the `kubernetes` package. It is imported by commands that need a cluster, since it is the slowest
import of all.
"""
