//! The store: all SQL of Orchestratum, PostgreSQL and SQLite behind the same traits.
