"""The command line: one file a verb. Results go to stdout, talk and progress to stderr."""
