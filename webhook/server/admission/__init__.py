"""Handle AdmissionReviews: parse the review, decide within the deadline, encode the response."""
