//! One suite of behaviour that every store must pass.
