"""Another machine over SSH: one login, files as one stream, commands as text."""
