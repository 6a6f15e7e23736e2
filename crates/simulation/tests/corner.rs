//! Every order of events around one task, up to a depth that takes some ten seconds.

use orchestratum_simulation::explore;

#[test]
fn every_order_of_ten_events_holds_every_invariant() {
    let explored = explore(10, None);
    println!("{} states, {} transitions", explored.states, explored.transitions);
    if let Some((violation, path)) = explored.violation {
        panic!("{violation}\n{}", path.join("\n"));
    }
    assert!(
        explored.states > 1_000_000,
        "the corner has shrunk to {} states",
        explored.states
    );
}
