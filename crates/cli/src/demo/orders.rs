//! Orders as sagas: paid, reserved and shipped; and what is undone where one of these fails.

use std::time::Duration;

use orchestratum_core::JsonText;
use orchestratum_core::Origin;
use orchestratum_core::saga::DefinitionName;
use orchestratum_engine::Engine;
use orchestratum_engine::external::{AttemptEnd, Beside, ClaimDraft, Told};
use orchestratum_engine::sagas::StartSaga;
use orchestratum_store::{ExternalTask, HistoryEntry, Saga, WorkerState};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{PATIENCE, line, plain};

/// The order story, as it is shipped with the product.
const ORDER: &str = include_str!("../../../../config/sagas/order.yaml");

/// The same with a timeout that one can wait for.
const HURRIED: [(&str, &str); 2] = [
    ("name: order\n", "name: order-in-a-hurry\n"),
    ("after_seconds: 86400", "after_seconds: 2"),
];

/// Whose tasks the handlers below take.
const TARGETS: [&str; 3] = ["billing", "warehouse", "shipping"];

/// Of whom the tasks are claimed, as of any worker that speaks HTTP.
const KEY: &str = "demo";

/// What that worker is called.
const WORKER: &str = "the services of the demo";

const HISTORY_PAGE: usize = 200;

/// What happens to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Shipped,
    CardDeclined,
    SoldOut,
    NoCarrier,
    /// Nobody reserves its goods in time.
    Forgotten,
}

impl Fate {
    const ALL: [Self; 5] = [
        Self::Shipped,
        Self::CardDeclined,
        Self::SoldOut,
        Self::NoCarrier,
        Self::Forgotten,
    ];

    /// The customer by whom the handlers know it.
    const fn customer(self) -> &'static str {
        match self {
            Self::Shipped => "ada",
            Self::CardDeclined => "without-money",
            Self::SoldOut => "too-late",
            Self::NoCarrier => "far-away",
            Self::Forgotten => "forgotten",
        }
    }

    const fn shows(self) -> &'static str {
        match self {
            Self::Shipped => "an order is paid, reserved and shipped",
            Self::CardDeclined => "one whose card is declined",
            Self::SoldOut => "one whose goods are sold out is refunded",
            Self::NoCarrier => "one that cannot be shipped: goods back, then the money",
            Self::Forgotten => "one that takes too long is taken back",
        }
    }
}

/// The three services that do the work of the orders.
pub(super) struct Services(JoinHandle<()>);

impl Services {
    pub(super) fn begin(engine: &Engine) -> Self {
        Self(tokio::spawn(serve(engine.clone())))
    }

    /// They say that they leave, as any worker does: nobody should take them for ones that serve.
    pub(super) async fn end(self, engine: &Engine) -> anyhow::Result<()> {
        let Self(serving) = self;
        serving.abort();
        // Nothing is claimed any more when it is over.
        let _ = serving.await;
        for worker in engine.workers().await? {
            if worker.state == WorkerState::Live && worker.key_id.as_deref() == Some(KEY) {
                engine.worker_leaves(worker.registration.id).await?;
            }
        }
        Ok(())
    }
}

/// Starts an order of each kind, and prints how each one ends.
pub(super) async fn run(engine: &Engine) -> anyhow::Result<()> {
    let order = DefinitionName::new("order")?;
    let hurried = DefinitionName::new("order-in-a-hurry")?;
    engine.put_definition(&order, ORDER.to_owned(), None).await?;
    engine.put_definition(&hurried, in_a_hurry(), None).await?;
    let orders = Fate::ALL.map(|fate| {
        let definition = if fate == Fate::Forgotten { &hurried } else { &order };
        show(engine, definition, fate)
    });
    futures::future::try_join_all(orders).await.map(drop)
}

fn in_a_hurry() -> String {
    HURRIED
        .iter()
        .fold(ORDER.to_owned(), |text, (from, to)| text.replacen(from, to, 1))
}

async fn show(engine: &Engine, definition: &DefinitionName, fate: Fate) -> anyhow::Result<()> {
    let input = json!({"order_id": fate.customer(), "customer_id": fate.customer(), "items": ["book"], "total": 42});
    let request = StartSaga {
        definition: definition.clone(),
        version: None,
        correlation_id: None,
        input: plain(&input),
        origin: Origin::default(),
        actor: None,
        idempotency: None,
    };
    let saga = engine.start_saga(request).await?.into_saga();
    let ended = engine.wait_for_saga(saga.id, PATIENCE).await?;
    let history = engine.saga_history(saga.id, None, HISTORY_PAGE).await?;
    let took = took(&ended);
    let says = format!("{}: {}", fate.shows(), path(&history.items));
    println!("{}", line(ended.instance.status().as_str(), "saga", took, &says));
    Ok(())
}

fn took(saga: &Saga) -> Option<Duration> {
    Some(saga.finished_at?.saturating_since(saga.created_at))
}

/// What the history of an order tells of it: its states, and what was undone.
fn path(history: &[HistoryEntry]) -> String {
    let mut steps: Vec<String> = Vec::new();
    for entry in history {
        let undone = entry.told.tasks.iter().filter(|task| task.compensation);
        if entry.to != entry.from {
            steps.push(entry.to.to_string());
        }
        steps.extend(undone.map(|task| task.name.clone()));
    }
    steps.join(" > ")
}

/// Takes the tasks of the orders, as workers in any language do over HTTP.
async fn serve(engine: Engine) {
    loop {
        let claim = ClaimDraft {
            worker: WORKER.to_owned(),
            targets: TARGETS.map(str::to_owned).to_vec(),
            names: [
                "process_payment",
                "refund_payment",
                "reserve_inventory",
                "release_inventory",
                "create_shipment",
                "cancel_shipment",
            ]
            .map(str::to_owned)
            .to_vec(),
            max: 100,
            wait_seconds: Some(5.0),
            // What nobody reports is soon free to be cancelled.
            lease_seconds: Some(5.0),
            ..ClaimDraft::default()
        };
        match engine.claim_external(claim, KEY).await {
            Ok(claimed) => {
                for ExternalTask { task, .. } in claimed.tasks {
                    let Some(end) = handle(task.name.as_str(), &task.input) else {
                        continue;
                    };
                    let told = Told {
                        task: task.id,
                        attempt: task.attempt,
                        end,
                        beside: Beside::default(),
                    };
                    // An attempt that is over has been cancelled meanwhile.
                    let _ = engine.report(told, KEY).await;
                }
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// How the work of a service ends; `None` where it never does.
fn handle(name: &str, input: &JsonText) -> Option<AttemptEnd> {
    let input: Value = serde_json::from_str(input.as_str()).unwrap_or_default();
    let is_of = |fate: Fate| input["order_id"] == fate.customer();
    match name {
        "process_payment" if is_of(Fate::CardDeclined) => Some(refused("the card was declined")),
        "process_payment" => Some(done(
            &json!({"transaction_id": format!("payment of {}", input["order_id"])}),
        )),
        "reserve_inventory" if is_of(Fate::SoldOut) => Some(refused("the book is sold out")),
        "reserve_inventory" if is_of(Fate::Forgotten) => None,
        "reserve_inventory" => Some(done(&json!({"reservation_id": "shelf 7"}))),
        "create_shipment" if is_of(Fate::NoCarrier) => Some(refused("nobody goes there")),
        "create_shipment" => Some(done(&json!({"tracking_number": "1Z999"}))),
        _ => Some(done(&Value::Null)),
    }
}

fn done(output: &Value) -> AttemptEnd {
    AttemptEnd::Completed {
        output: Some(plain(output)),
        follow_ups: Vec::new(),
    }
}

/// For good: another try would end alike.
fn refused(message: &str) -> AttemptEnd {
    AttemptEnd::Failed {
        kind: orchestratum_core::task::ErrorKind::Failed,
        message: message.to_owned(),
        code: None,
        retryable: Some(false),
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::Timestamp;
    use orchestratum_core::saga::check;
    use orchestratum_core::task::SpecLimits;

    use super::*;

    #[test]
    fn the_hurried_order_is_the_order_with_a_short_timeout() {
        for (from, _) in HURRIED {
            assert_eq!(ORDER.matches(from).count(), 1, "{from}");
        }
        let read = |text: &str| {
            let checked = check(text, &SpecLimits::default(), Timestamp::EPOCH);
            checked.unwrap_or_else(|faults| panic!("{faults}")).definition
        };
        let (order, mut hurried) = (read(ORDER), read(&in_a_hurry()));
        assert_ne!(hurried.timeout, order.timeout);
        hurried.name = order.name.clone();
        hurried.timeout = order.timeout.clone();
        assert_eq!(hurried, order);
    }
}
