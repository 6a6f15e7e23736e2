//! Connections, and what happens to a request on its way to the API.

use std::future::pending;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH};
use axum::http::{HeaderMap, Method, StatusCode, request};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::{StreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;
use url::form_urlencoded;

use super::call::Call;
use super::faults::{Fault, FaultKind, Faults};
use super::git_http;
use super::history::SeenRequest;
use super::parameters::Parameters;
use super::refusal::Refusal;
use super::reply::Reply;
use super::world::World;
use super::{routes, users};

const BODY_MAX_BYTES: usize = 64 << 20;

const API: &str = "/api/v4/";

/// Half an answer is on its way by then.
const SENT_WITHIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Server {
    world: Mutex<World>,
    faults: Mutex<Faults>,
    seen: Mutex<Vec<SeenRequest>>,
    base: String,
}

/// Closes the connection that a request came by.
#[derive(Debug, Clone)]
struct Connection(Arc<Notify>);

/// Serves a GitLab whose data are in a folder, until it is dropped or the process ends.
pub async fn serve_gitlab(listener: TcpListener, folder: &Path) -> anyhow::Result<()> {
    let server = Arc::new(Server {
        world: Mutex::new(World::open(folder)?),
        faults: Mutex::default(),
        seen: Mutex::default(),
        base: format!("http://{}", listener.local_addr()?),
    });
    let router = Router::new()
        .route("/double/faults", post(add_fault).delete(clear_faults))
        .route("/double/requests", get(requests).delete(forget_requests))
        .route("/double/repository", get(repository))
        .fallback(answer)
        .with_state(server);
    loop {
        let (stream, _peer) = listener.accept().await.context("no more connections")?;
        tokio::spawn(serve_connection(stream, router.clone()));
    }
}

async fn serve_connection(stream: TcpStream, router: Router) {
    let hang_up = Arc::new(Notify::new());
    let service = TowerToHyperService::new(router.layer(Extension(Connection(Arc::clone(&hang_up)))));
    let builder = auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        _ended = builder.serve_connection(TokioIo::new(stream), service) => {}
        () = hang_up.notified() => {}
    }
}

async fn add_fault(State(server): State<Arc<Server>>, axum::Json(fault): axum::Json<Fault>) -> StatusCode {
    locked(&server.faults).add(fault);
    StatusCode::NO_CONTENT
}

async fn clear_faults(State(server): State<Arc<Server>>) -> StatusCode {
    locked(&server.faults).clear();
    StatusCode::NO_CONTENT
}

async fn requests(State(server): State<Arc<Server>>) -> axum::Json<Vec<SeenRequest>> {
    axum::Json(locked(&server.seen).clone())
}

async fn forget_requests(State(server): State<Arc<Server>>) -> StatusCode {
    locked(&server.seen).clear();
    StatusCode::NO_CONTENT
}

/// Where it lies, for tests that look into it.
async fn repository(State(server): State<Arc<Server>>) -> String {
    locked(&server.world).repository.folder().display().to_string()
}

/// What was asked for goes on when nobody waits for it any more, as it does in GitLab.
async fn answer(
    State(server): State<Arc<Server>>,
    Extension(connection): Extension<Connection>,
    request: Request,
) -> Response {
    let answering = tokio::spawn(async move {
        let (head, body) = request.into_parts();
        match to_bytes(body, BODY_MAX_BYTES).await {
            Ok(body) => meet(&server, &connection, &head, &body).await,
            Err(_) => StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        }
    });
    answering
        .await
        .unwrap_or_else(|_panicked| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

async fn meet(server: &Server, connection: &Connection, head: &request::Parts, body: &Bytes) -> Response {
    let Some(raw) = head.uri.path().strip_prefix(API) else {
        let folder = locked(&server.world).repository.folder().to_owned();
        return git_http::answer(&folder, head, body).await;
    };
    let segments: Vec<String> = raw.split('/').map(decoded).collect();
    let path = segments.join("/");
    let fault = locked(&server.faults).meet(&head.method, &path);
    if let Some(FaultKind::LateEffect { milliseconds }) = fault {
        sleep(Duration::from_millis(milliseconds)).await;
    }
    let other = fault.as_ref().and_then(FaultKind::other_answer);
    let is_done = !matches!(fault, Some(FaultKind::HangUp)) && other.as_ref().is_none_or(|(_, is_done)| *is_done);
    let truth = is_done.then(|| truth(server, head, segments, body));
    let reply = match (other, truth) {
        (Some((other, _)), _) => Some(other),
        (None, truth) => truth,
    };
    // A request whose connection is closed has no status; 0 says so.
    let status = reply.as_ref().map_or(0, |reply| reply.status.as_u16());
    locked(&server.seen).push(SeenRequest {
        method: head.method.to_string(),
        path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        status,
    });
    let reply = match (reply, &fault) {
        (None, _) | (Some(_), Some(FaultKind::LoseAnswer)) => {
            connection.0.notify_one();
            return pending().await;
        }
        (Some(reply), _) => reply,
    };
    match fault {
        Some(FaultKind::SlowAnswer { milliseconds }) => sleep(Duration::from_millis(milliseconds)).await,
        Some(FaultKind::CutAnswer) => return cut(reply),
        _ => {}
    }
    reply.into_response()
}

/// Tells the whole length and brings half of it.
fn cut(reply: Reply) -> Response {
    let whole = reply.body().to_vec();
    let half = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
    // What is ready at once is not sent before the error.
    let cut = async {
        sleep(SENT_WITHIN).await;
        Err(std::io::Error::other("cut"))
    };
    let parts = stream::once(async { Ok(half) }).chain(stream::once(cut));
    let mut response = reply.into_response_with(Body::from_stream(parts));
    response.headers_mut().insert(CONTENT_LENGTH, whole.len().into());
    response
}

fn truth(server: &Server, head: &request::Parts, segments: Vec<String>, body: &[u8]) -> Reply {
    let query = head.uri.query().unwrap_or_default();
    let call = match call(server, head, segments, query, body) {
        Ok(call) => call,
        Err(refusal) => return refusal.into(),
    };
    routes::answer(&mut locked(&server.world), &call)
}

fn call(
    server: &Server,
    head: &request::Parts,
    segments: Vec<String>,
    query: &str,
    body: &[u8],
) -> Result<Call, Refusal> {
    let unauthorized = || Refusal::message(StatusCode::UNAUTHORIZED, "401 Unauthorized");
    let token = token(&head.headers, query).ok_or_else(unauthorized)?;
    let (user, is_read_only) = users::of_token(&token).ok_or_else(unauthorized)?;
    if is_read_only && !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Refusal {
            status: StatusCode::FORBIDDEN,
            body: serde_json::json!({
                "error": "insufficient_scope",
                "error_description": "The request requires higher privileges than provided by the access token.",
                "scope": "api",
            }),
        });
    }
    Ok(Call {
        method: head.method.clone(),
        raw_path: head.uri.path().to_owned(),
        query: query.to_owned(),
        segments,
        parameters: Parameters::read(query, &head.headers, body)?,
        user,
        base: server.base.clone(),
    })
}

fn token(headers: &HeaderMap, query: &str) -> Option<String> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let bearer = || header(AUTHORIZATION.as_str())?.strip_prefix("Bearer ");
    header("private-token").or_else(bearer).map(str::to_owned).or_else(|| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs
            .find(|(name, _)| name == "private_token")
            .map(|(_, value)| value.into_owned())
    })
}

/// `%2F` and the like; a plus is a plus here.
fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment)
        .decode_utf8_lossy()
        .into_owned()
}

/// A request that panicked has been answered with a 500; the others go on.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
