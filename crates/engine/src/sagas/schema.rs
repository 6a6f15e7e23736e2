//! Whether an answer meets the JSON Schema that a saga asks for.

use jsonschema::PatternOptions;
use orchestratum_core::JsonText;
use orchestratum_core::task::Violations;
use serde_json::Value;

/// How many faults of an answer are told.
const FAULTS_TOLD: usize = 20;

/// How long the words about one fault may be: they quote the answer.
const FAULT_MAX_CHARACTERS: usize = 300;

/// Holds an answer against a schema. References lead nowhere but into the schema itself, and patterns take time linear in the
/// text: a definition cannot make the server fetch anything, or think for long.
///
/// # Errors
/// What the answer breaks, each with a pointer below `/data`.
pub(super) fn check(schema: &JsonText, data: &JsonText) -> Result<(), Violations> {
    let mut violations = Violations::default();
    let value = |text: &JsonText| serde_json::from_str::<Value>(text.as_str()).expect("JSON was checked");
    let (schema, data) = (value(schema), value(data));
    let validator = jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(&schema);
    match validator {
        Ok(validator) => {
            for fault in validator.iter_errors(&data).take(FAULTS_TOLD) {
                let told: String = fault.to_string().chars().take(FAULT_MAX_CHARACTERS).collect();
                violations.add(format!("/data{}", fault.instance_path()), told);
            }
        }
        Err(fault) => {
            let told: String = fault.to_string().chars().take(FAULT_MAX_CHARACTERS).collect();
            violations.add("/data", format!("the schema of the definition cannot be read: {told}"));
        }
    }
    violations.into_result()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(schema: &str, data: &str) -> Vec<String> {
        let text = |text: &str| JsonText::trusted(text);
        match check(&text(schema), &text(data)) {
            Ok(()) => Vec::new(),
            Err(violations) => violations.0.iter().map(|one| one.pointer.clone()).collect(),
        }
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        let schema = r#"{"type": "object", "required": ["ok"],
            "properties": {"ok": {"type": "boolean"}, "reasons": {"items": {"type": "string"}}}}"#;
        assert!(faults(schema, r#"{"ok": true, "reasons": ["a"]}"#).is_empty());
        assert_eq!(
            faults(schema, r#"{"ok": 1, "reasons": ["a", 2]}"#),
            ["/data/ok", "/data/reasons/1"]
        );
        assert_eq!(faults(schema, "{}"), ["/data"]);
        assert_eq!(faults(schema, "null"), ["/data"]);
    }

    #[test]
    fn a_reference_leads_nowhere_else() {
        assert_eq!(faults(r#"{"$ref": "http://127.0.0.1:1/schema.json"}"#, "1"), ["/data"]);
        assert_eq!(faults(r#"{"$ref": "file:///etc/passwd"}"#, "1"), ["/data"]);
    }

    #[test]
    fn a_pattern_cannot_take_for_ever() {
        let text = format!("\"{}!\"", "a".repeat(100_000));
        let begun = crate::clock::monotonic_now();
        assert_eq!(faults(r#"{"pattern": "^(a+)+$"}"#, &text), ["/data"]);
        assert!(begun.elapsed() < std::time::Duration::from_secs(2));
    }
}
