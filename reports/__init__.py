"""What the numbers mean: the leaderboard, gaps, charts and pages."""
