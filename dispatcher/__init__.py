"""Tasks in, results back: jobs on any batch system, journalled so that nothing runs twice and nothing is lost."""
