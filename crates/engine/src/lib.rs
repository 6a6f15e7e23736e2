//! The use cases and the background loops of Orchestratum.
