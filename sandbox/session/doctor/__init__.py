"""`doctor`: what this machine has of what the sandbox needs. Looks, changes nothing, and says nothing that is secret."""
