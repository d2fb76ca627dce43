"""Where a stack runs: one contract (`base`), its implementations, and the choice between them (`select`)."""
