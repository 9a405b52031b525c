"""The cluster context of a pod: from manifest files, one snapshot, or a live cluster."""
