"""Answer AdmissionReviews: read the review, decide in time, write the response."""
