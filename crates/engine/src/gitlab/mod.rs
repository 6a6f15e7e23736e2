//! What callers ask of GitLab through this server, with the token of its settings. One file a use case.

mod balance;
mod calculation;
mod calls;
mod consistency;
mod geometries;
mod issues;
mod merge_request;
mod series;
mod shipped;
mod stuck;
mod waiting;
mod waiting_sagas;

pub use self::balance::{BalanceToCalculate, CalculateBalance, Delivery, OnDrift};
pub use self::calculation::{BegunCalculation, Calculate, Calculating, ToCalculate};
pub(crate) use self::calls::Calls;
pub use self::consistency::{CommitSince, Consistency};
pub use self::geometries::Geometries;
pub use self::waiting_sagas::Told;
