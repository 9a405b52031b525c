"""What becomes of a pod's connections: detection's findings, the pods on both ends, and the judge of the mesh."""
