"""Work that takes its time. Each function runs in a thread, posts messages, and stops when it is told to."""
