"""Installing, checking and starting: what surrounds a run. Starts the other packages as commands and imports none of them."""
