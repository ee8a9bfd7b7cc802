"""What data sets of every kind share: splits, caches, worker processes, preparation."""
