"""Train the network on HC18; torch lives here."""
