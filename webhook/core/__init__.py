"""The data model: decisions, findings, the view of the cluster, budgets. Contains no decision logic. Pure."""
