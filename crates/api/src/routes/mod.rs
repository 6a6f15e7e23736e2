//! The routes: one file an endpoint, all of them listed in [`all`] with the scope each needs.

mod dev;
mod events;
mod gitlab;
mod groups;
mod keys;
mod operations;
mod picture;
mod queues;
mod saga_definitions;
mod sagas;
mod schedules;
pub(crate) mod schema;
mod stream;
mod tasks;
mod worker;
mod workers;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use orchestratum_engine::external::LOG_MAX_BYTES;
use orchestratum_engine::keys::Scope;
use orchestratum_engine::{BESIDE_INPUT_BYTES, BODY_MAX_BYTES, Engine};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::changes::{self, BodyLimit, Changes};
use crate::{auth, openapi};

/// What follows a task may be as large as that.
const FOLLOW_UPS_BYTES: usize = 1 << 20;

/// Every call of the interface.
pub(crate) fn all(engine: &Engine) -> OpenApiRouter<Engine> {
    let metrics: &[Scope] = if engine.settings().metrics.public {
        &[]
    } else {
        &[Scope::TasksRead]
    };
    clock(gitlab(sagas(Routes::new(engine))))
        .scoped_input(Scope::TasksWrite, routes!(tasks::create))
        .scoped_large(
            Scope::TasksWrite,
            tasks::BATCH_BODY_MAX_BYTES,
            routes!(tasks::create_batch),
        )
        .scoped(Scope::TasksRead, routes!(tasks::list))
        .scoped(Scope::TasksRead, routes!(tasks::stats))
        .scoped(Scope::TasksRead, routes!(tasks::read))
        .scoped_input(Scope::TasksWrite, routes!(tasks::patch))
        .scoped(Scope::TasksWrite, routes!(tasks::delete))
        .scoped_input(Scope::TasksWrite, routes!(tasks::retry))
        .scoped(Scope::TasksWrite, routes!(tasks::cancel))
        .scoped(Scope::TasksRead, routes!(tasks::attempts))
        .scoped(Scope::TasksRead, routes!(tasks::logs))
        .scoped(Scope::TasksRead, routes!(tasks::why))
        .scoped(Scope::TasksRead, routes!(tasks::tree))
        .scoped_input(Scope::TasksWrite, routes!(schedules::create))
        .scoped(Scope::TasksRead, routes!(schedules::list))
        .scoped(Scope::TasksRead, routes!(schedules::read))
        .scoped_input(Scope::TasksWrite, routes!(schedules::patch))
        .scoped(Scope::TasksWrite, routes!(schedules::delete))
        .scoped(Scope::TasksWrite, routes!(schedules::trigger))
        .scoped_large(Scope::TasksWrite, tasks::BATCH_BODY_MAX_BYTES, routes!(groups::create))
        .scoped(Scope::TasksRead, routes!(groups::list))
        .scoped(Scope::TasksRead, routes!(groups::read))
        .scoped(Scope::TasksRead, routes!(groups::members))
        .scoped(Scope::TasksWrite, routes!(groups::cancel))
        .scoped(Scope::TasksWrite, routes!(groups::delete))
        .scoped(Scope::TasksRead, routes!(workers::list))
        .scoped(Scope::Worker, routes!(worker::claim))
        .scoped(Scope::Worker, routes!(worker::heartbeat))
        .scoped_output(Scope::Worker, routes!(worker::complete))
        .scoped(Scope::Worker, routes!(worker::fail))
        .scoped(Scope::Worker, routes!(worker::release))
        .scoped_large(Scope::Worker, tasks::BATCH_BODY_MAX_BYTES, routes!(worker::reports))
        .scoped(Scope::TasksRead, routes!(queues::list))
        .scoped(Scope::Admin, routes!(queues::pause))
        .scoped(Scope::Admin, routes!(queues::resume))
        .scoped(Scope::TasksRead, routes!(queues::rate))
        .scoped(Scope::Admin, routes!(queues::set_rate))
        .scoped(Scope::Admin, routes!(queues::remove_rate))
        .scoped(Scope::Admin, routes!(keys::list))
        .scoped(Scope::Admin, routes!(keys::create))
        .scoped(Scope::Admin, routes!(keys::revoke))
        .open(routes!(operations::live))
        .open(routes!(operations::ready))
        .guarded(metrics, BODY_MAX_BYTES, routes!(operations::metrics))
        .router
}

/// Sagas, their definitions, and events.
fn sagas(routes: Routes) -> Routes {
    routes
        .scoped_large(
            Scope::SagasWrite,
            saga_definitions::BODY_MAX_BYTES,
            routes!(saga_definitions::put),
        )
        .scoped(Scope::SagasRead, routes!(saga_definitions::list))
        .scoped(Scope::SagasRead, routes!(saga_definitions::read))
        .scoped(Scope::SagasRead, routes!(saga_definitions::diagram))
        .scoped(Scope::SagasRead, routes!(saga_definitions::versions))
        .scoped(Scope::SagasRead, routes!(saga_definitions::read_version))
        .scoped_input(Scope::SagasWrite, routes!(sagas::start))
        .scoped(Scope::SagasRead, routes!(sagas::list))
        .scoped(Scope::SagasRead, routes!(sagas::read))
        .scoped_input(Scope::SagasWrite, routes!(sagas::raise))
        .scoped_input(Scope::SagasWrite, routes!(sagas::input))
        .scoped(Scope::SagasWrite, routes!(sagas::cancel))
        .scoped_input(Scope::SagasWrite, routes!(sagas::retry))
        .scoped_input(Scope::SagasWrite, routes!(sagas::migrate))
        .scoped(Scope::SagasWrite, routes!(sagas::retry_compensation))
        .scoped(Scope::SagasWrite, routes!(sagas::skip_compensation))
        .scoped(Scope::SagasWrite, routes!(sagas::retry_parked))
        .scoped(Scope::SagasWrite, routes!(sagas::discard_parked))
        .scoped(Scope::SagasRead, routes!(sagas::history))
        .scoped(Scope::SagasRead, routes!(sagas::saga_diagram))
        .scoped_input(Scope::SagasWrite, routes!(events::publish))
        .scoped_any(&[Scope::TasksRead, Scope::SagasRead], routes!(events::follow))
}

/// What is asked of GitLab, with the token of this server.
fn gitlab(routes: Routes) -> Routes {
    routes
        .scoped(Scope::Gitlab, routes!(gitlab::issues))
        .scoped(Scope::Gitlab, routes!(gitlab::geometries))
        .scoped(Scope::Gitlab, routes!(gitlab::make_merge_request))
        .scoped(Scope::Gitlab, routes!(gitlab::consistency))
        .scoped(Scope::Gitlab, routes!(gitlab::calculate_balance))
        .scoped_input(Scope::Gitlab, routes!(gitlab::start_calculation))
}

/// Only where the clock is one that is moved by hand.
fn clock(routes: Routes) -> Routes {
    if !routes.engine.clock().is_manual() {
        return routes;
    }
    routes
        .scoped(Scope::Admin, routes!(dev::read_clock))
        .scoped(Scope::Admin, routes!(dev::advance_clock))
}

/// The only way to add a route: with a scope, or by saying that it is open.
struct Routes {
    engine: Engine,
    changes: Changes,
    router: OpenApiRouter<Engine>,
}

impl Routes {
    fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            changes: Changes::new(&engine.settings().api),
            router: OpenApiRouter::with_openapi(openapi::base()),
        }
    }

    fn scoped(self, scope: Scope, routes: UtoipaMethodRouter<Engine>) -> Self {
        self.guarded(&[scope], BODY_MAX_BYTES, routes)
    }

    /// Any of these scopes opens it; what each of them opens is for the handler to say.
    fn scoped_any(self, scopes: &[Scope], routes: UtoipaMethodRouter<Engine>) -> Self {
        self.guarded(scopes, BODY_MAX_BYTES, routes)
    }

    /// Takes the input of a task: as much as the settings allow, as far as the largest body goes.
    fn scoped_input(self, scope: Scope, routes: UtoipaMethodRouter<Engine>) -> Self {
        let limit = BodyLimit {
            bytes: self.engine.settings().tasks.body_max_bytes(),
            remedy: Some(
                "this follows the setting `tasks.input_max_bytes`; POST /api/tasks/batch takes up to 16777216 bytes, \
                 whose inputs have the same limit",
            ),
        };
        self.guarded(&[scope], limit, routes)
    }

    /// Takes the output of a task, what follows it, and what it wrote.
    fn scoped_output(self, scope: Scope, routes: UtoipaMethodRouter<Engine>) -> Self {
        let beside = FOLLOW_UPS_BYTES + LOG_MAX_BYTES + BESIDE_INPUT_BYTES;
        let wanted = self.engine.settings().tasks.output_max_bytes + beside;
        let limit = BodyLimit {
            bytes: wanted.clamp(BODY_MAX_BYTES, tasks::BATCH_BODY_MAX_BYTES),
            remedy: Some("this follows the setting `tasks.output_max_bytes`"),
        };
        self.guarded(&[scope], limit, routes)
    }

    /// Takes larger bodies than the others.
    fn scoped_large(self, scope: Scope, body_max_bytes: usize, routes: UtoipaMethodRouter<Engine>) -> Self {
        self.guarded(&[scope], body_max_bytes, routes)
    }

    /// Answers without a key.
    fn open(self, routes: UtoipaMethodRouter<Engine>) -> Self {
        self.guarded(&[], BODY_MAX_BYTES, routes)
    }

    /// With no scope, it is open.
    fn guarded(
        mut self,
        scopes: &[Scope],
        limit: impl Into<BodyLimit>,
        (schemas, mut paths, mut methods): UtoipaMethodRouter<Engine>,
    ) -> Self {
        openapi::describe(&mut paths, scopes);
        if !scopes.is_empty() {
            let change = from_fn_with_state((self.changes.clone(), limit.into()), changes::complete);
            // Not around the answer to a wrong method: it says no more than the OpenAPI document, which is open.
            methods = methods.route_layer(change).route_layer(from_fn_with_state(
                (self.engine.clone(), Arc::<[Scope]>::from(scopes)),
                auth::require,
            ));
        }
        self.router = self.router.routes((schemas, paths, methods));
        self
    }
}
