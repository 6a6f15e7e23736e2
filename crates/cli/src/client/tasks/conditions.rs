//! What must hold before a task may run or be made, as `tasks create` takes it.

use clap::Args;
use serde_json::{Value, json};

#[derive(Debug, Args)]
pub(super) struct Conditions {
    /// At most so many tasks of a key are ready or running at a time. Example: --concurrency reports:3; the key may hold
    /// expressions over the task.
    #[arg(long, value_name = "KEY:LIMIT", value_parser = concurrency)]
    pub(super) concurrency: Option<Value>,
    /// Tasks of a key start so often. Example: --rate api:10/1 for ten in a second
    #[arg(long, value_name = "KEY:LIMIT/SECONDS", value_parser = rate)]
    pub(super) rate: Option<Value>,
    /// If a task like it is there, that one is the answer: fields such as name,target,input; or `key:TEXT`, which may hold
    /// expressions; or the JSON of the api.
    #[arg(long, value_name = "BY", value_parser = unique)]
    pub(super) unique: Option<Value>,
}

fn concurrency(text: &str) -> Result<Value, String> {
    let form = || "must be KEY:LIMIT, such as reports:3".to_owned();
    // The key may have colons of its own.
    let (key, limit) = text.rsplit_once(':').ok_or_else(form)?;
    let limit: i64 = limit.parse().map_err(|_| form())?;
    Ok(json!({"key": key, "limit": limit}))
}

fn rate(text: &str) -> Result<Value, String> {
    let form = || "must be KEY:LIMIT/SECONDS, such as api:10/1".to_owned();
    let (key, often) = text.rsplit_once(':').ok_or_else(form)?;
    let (limit, per) = often.split_once('/').ok_or_else(form)?;
    let limit: i64 = limit.parse().map_err(|_| form())?;
    let per: f64 = per.parse().map_err(|_| form())?;
    Ok(json!({"key": key, "limit": limit, "per_seconds": per}))
}

fn unique(text: &str) -> Result<Value, String> {
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"));
    }
    if let Some(key) = text.strip_prefix("key:") {
        return Ok(json!({"by": key}));
    }
    let fields: Vec<&str> = text.split(',').map(str::trim).collect();
    Ok(json!({"by": fields}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_what_the_api_takes() {
        assert_eq!(concurrency("a:b:3"), Ok(json!({"key": "a:b", "limit": 3})));
        assert!(concurrency("reports").is_err());
        assert_eq!(
            rate("api:10/0.5"),
            Ok(json!({"key": "api", "limit": 10, "per_seconds": 0.5}))
        );
        assert!(rate("api:10").is_err());
        assert_eq!(unique("name, input"), Ok(json!({"by": ["name", "input"]})));
        assert_eq!(
            unique("key:order-${ input.order }"),
            Ok(json!({"by": "order-${ input.order }"}))
        );
        let whole = r#"{"by": ["name"], "within_seconds": 60}"#;
        assert_eq!(unique(whole), Ok(json!({"by": ["name"], "within_seconds": 60})));
    }
}
