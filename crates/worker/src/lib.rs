//! Claims tasks, runs them under their clocks and reports how they ended.
