"""What another policy would change, for which workloads, and its impact. Pure: what there is to see is passed in."""
