"""One module or folder for each outside world that podpin talks to; errors are translated here into podpin.errors."""
