//! The order's saga in both ways of writing it.

use orchestratum_sdk::saga::Definition;
use orders::saga::definition;

const YAML: &str = include_str!("../../../config/sagas/order.yaml");

#[test]
fn the_saga_in_rust_is_the_one_that_is_shipped() -> Result<(), Box<dyn std::error::Error>> {
    let shipped: Definition = orchestratum_sdk::saga::read(YAML)?;
    let built = definition()?;
    assert_eq!(built.canonical(), shipped.canonical());
    assert_eq!(built.fingerprint(), shipped.fingerprint());
    Ok(())
}
