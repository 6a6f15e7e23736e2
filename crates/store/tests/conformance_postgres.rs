//! PostgreSQL behaves as every store must.

mod support;

use orchestratum_store::conformance::Fixture;
use support::Schema;

async fn fixture() -> Box<dyn Fixture> {
    Box::new(Schema::fresh().await)
}

orchestratum_store::conformance_suite!(crate::fixture);
