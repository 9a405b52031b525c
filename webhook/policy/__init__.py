"""The policy file: its models, its compiled form, and where it is loaded from."""
