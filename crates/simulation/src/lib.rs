//! A seeded simulation of the task protocol in virtual time; never shipped.
