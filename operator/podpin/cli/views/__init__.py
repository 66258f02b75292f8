"""What the command line shows: pure functions from what the cluster has to words, rows and trees."""
