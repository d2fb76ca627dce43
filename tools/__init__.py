"""What makes a part of the project from a measurement, by hand and now and then; see each module."""
