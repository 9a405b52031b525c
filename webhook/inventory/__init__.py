"""Where the surroundings of a pod come from: manifest files, and later a live cluster."""
