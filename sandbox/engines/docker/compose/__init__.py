"""`docker compose` as a program: how it is called, and what its words mean."""
