"""The frozen records that travel up: what happened, never how it looks."""
