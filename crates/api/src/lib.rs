//! The HTTP interface of Orchestratum.
