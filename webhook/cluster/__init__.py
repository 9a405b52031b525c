"""The Kubernetes API: one client, lists and watches of it, and the Events that are written there.

`client` alone knows the `kubernetes` package. It is imported when a command wants a cluster, for it is the slowest
import of all.
"""
