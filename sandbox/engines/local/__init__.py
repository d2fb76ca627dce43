"""The local engine: the stack as processes below a supervisor, which a guard watches."""
