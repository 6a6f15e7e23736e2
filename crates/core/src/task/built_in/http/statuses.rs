//! Which answers are a success.

use std::ops::RangeInclusive;

use serde_json::value::RawValue;

use crate::task::built_in::fields::Fields;

const COUNT_MAX: usize = 100;
/// Those below are not the last word of a server.
const ALL: RangeInclusive<u16> = 200..=599;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedStatuses(Vec<RangeInclusive<u16>>);

impl ExpectedStatuses {
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|expected| expected.contains(&status))
    }
}

/// Those that say of themselves that all went well.
impl Default for ExpectedStatuses {
    fn default() -> Self {
        Self(vec![200..=299])
    }
}

pub(super) fn read(fields: &mut Fields<'_>, field: &'static str) -> ExpectedStatuses {
    let Some(entries) = fields.array(field, "an array of statuses") else {
        return ExpectedStatuses::default();
    };
    if entries.is_empty() || entries.len() > COUNT_MAX {
        fields.refuse(
            field,
            &format!("must have 1 to {COUNT_MAX} entries, not {}", entries.len()),
        );
        return ExpectedStatuses::default();
    }
    let mut expected = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        match status(entry) {
            Some(status) => expected.push(status),
            None => fields.refuse_entry(
                field,
                &index.to_string(),
                "must be a status from 200 to 599, or one of \"2xx\", \"3xx\", \"4xx\" and \"5xx\"",
            ),
        }
    }
    ExpectedStatuses(expected)
}

fn status(entry: &RawValue) -> Option<RangeInclusive<u16>> {
    match entry.get() {
        r#""2xx""# => Some(200..=299),
        r#""3xx""# => Some(300..=399),
        r#""4xx""# => Some(400..=499),
        r#""5xx""# => Some(500..=599),
        other => {
            let status = other.parse().ok().filter(|status| ALL.contains(status))?;
            Some(status..=status)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::task::HttpInput;

    fn read(statuses: &str) -> Result<HttpInput, String> {
        let input = format!(r#"{{"url": "http://a.example", "expected_statuses": {statuses}}}"#);
        HttpInput::read(&input).map_err(|broken| broken.0[0].to_string())
    }

    #[test]
    fn numbers_and_classes_may_be_mixed() {
        let expected = read(r#"[404, "2xx"]"#).expect("both are known").expected_statuses;
        for (status, holds) in [
            (200, true),
            (299, true),
            (404, true),
            (403, false),
            (300, false),
            (500, false),
        ] {
            assert_eq!(expected.contains(status), holds, "{status}");
        }
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for statuses in [
            "[199]",
            "[600]",
            "[-200]",
            "[200.5]",
            r#"["6xx"]"#,
            r#"["200"]"#,
            "[null]",
            "[[200]]",
        ] {
            let told = read(statuses).expect_err(statuses);
            assert!(told.starts_with("/expected_statuses/0 must be a status"), "{told}");
        }
        assert_eq!(
            read("[]").expect_err("nothing could be expected"),
            "/expected_statuses must have 1 to 100 entries, not 0"
        );
        assert_eq!(
            read("200").expect_err("one alone"),
            "/expected_statuses must be an array of statuses, not a number"
        );
    }
}
