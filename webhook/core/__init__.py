"""The vocabulary: decisions, findings, the view of the cluster, budgets. Nothing in here decides anything. Pure."""
