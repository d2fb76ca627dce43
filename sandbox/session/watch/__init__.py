"""`watch`: the console's stream, chosen, decided by Envoy's log where need be, and over all that breaks it off."""
