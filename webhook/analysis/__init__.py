"""What people ask about a whole cluster: what is broken, what an edit of the policy would change, and its tests."""
