"""What another policy would change, in whom, and what would come of it. Pure: what there is to see is passed in."""
