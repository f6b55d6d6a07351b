"""A router for each subject. A route takes the desk and its parameters, and makes a document."""
