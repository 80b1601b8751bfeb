"""What travels: which files a pattern means, and how a file takes its name."""
