"""What happened in a search: plans, the ladder, the store and its records."""
