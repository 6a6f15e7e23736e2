//! Runs untrusted programs with limits; knows nothing of tasks.
