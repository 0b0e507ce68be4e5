"""What runs: data, models, training, workers and their supervisor."""
