"""What is wrong around a pod's sidecar, and the one line that fixes it. Pure: what there is to see is passed in."""
