//! Lists in pages, with the headers that tell of the others.

use axum::http::StatusCode;
use serde_json::Value;
use url::form_urlencoded;

use super::call::Call;
use super::refusal::Refusal;
use super::reply::Reply;

const PAGE: usize = 20;
const PAGE_MAX: usize = 100;

/// Whether the length of the whole list is told: GitLab does not count commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Total {
    Told,
    Untold,
}

pub(super) fn reply(call: &Call, items: &[Value], total: Total) -> Result<Reply, Refusal> {
    let size = call.parameters.number("per_page", PAGE)?.clamp(1, PAGE_MAX);
    let page = call.parameters.number("page", 1)?.max(1);
    let last = items.len().div_ceil(size).max(1);
    let part: Vec<Value> = items.iter().skip((page - 1) * size).take(size).cloned().collect();
    let (next, previous) = ((page < last).then_some(page + 1), (page > 1).then(|| page - 1));
    let mut links = Vec::new();
    let told_last = (total == Total::Told).then_some(last);
    for (relation, target) in [
        ("prev", previous),
        ("next", next),
        ("first", Some(1)),
        ("last", told_last),
    ] {
        if let Some(target) = target {
            links.push(format!("<{}>; rel=\"{relation}\"", address(call, target, size)));
        }
    }
    let number = |number: Option<usize>| number.map(|number| number.to_string()).unwrap_or_default();
    let mut reply = Reply::json(StatusCode::OK, &Value::Array(part))
        .with_header("x-page", page.to_string())
        .with_header("x-per-page", size.to_string())
        .with_header("x-next-page", number(next))
        .with_header("x-prev-page", number(previous))
        .with_header("link", links.join(", "));
    if total == Total::Told {
        reply = reply
            .with_header("x-total", items.len().to_string())
            .with_header("x-total-pages", last.to_string());
    }
    Ok(reply)
}

/// Of another page of the same list.
fn address(call: &Call, page: usize, size: usize) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(call.query.as_bytes()) {
        if !matches!(&*name, "page" | "per_page") {
            query.append_pair(&name, &value);
        }
    }
    query
        .append_pair("page", &page.to_string())
        .append_pair("per_page", &size.to_string());
    format!("{}{}?{}", call.base, call.raw_path, query.finish())
}
