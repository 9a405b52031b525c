"""Run a policy's tests (`PolicyTests`): cases with manifests and the decisions that are expected."""
