//! `geometries_manifest.json`: which geometries a project has.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::FilePath;
use crate::task::Violations;

const MANIFEST: &str = "geometries_manifest.json";

const LIST: &str = "geometries";

const ID_MAX_CHARACTERS: usize = 200;
const NAME_MAX_CHARACTERS: usize = 500;

/// One of them, as the manifest has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Geometry {
    pub id: String,
    pub name: String,
    pub file: FilePath,
}

impl Geometry {
    /// Where the manifest lies.
    pub fn manifest_path() -> FilePath {
        FilePath::new(MANIFEST).expect("a path")
    }

    /// All that the manifest has, in its order. Fields of other programs are passed over.
    ///
    /// # Errors
    /// Every fault with its place in the manifest.
    pub fn read_manifest(bytes: &[u8]) -> Result<Vec<Self>, Violations> {
        let mut broken = Violations::default();
        // Some editors begin a file so.
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let manifest: Value = match serde_json::from_slice(text) {
            Ok(manifest) => manifest,
            Err(error) => {
                broken.add("", format!("is no JSON: {error}"));
                return Err(broken);
            }
        };
        let Some(list) = manifest.get(LIST).and_then(Value::as_array) else {
            broken.add(format!("/{LIST}"), "must be a list of geometries");
            return Err(broken);
        };
        let mut ids = HashSet::new();
        let mut geometries = Vec::with_capacity(list.len());
        for (index, entry) in list.iter().enumerate() {
            let place = format!("/{LIST}/{index}");
            let Some(fields) = entry.as_object() else {
                broken.add(place, "must be an object with id, name and file");
                continue;
            };
            let read = Self::read(fields, &place, &mut broken);
            if let Some(geometry) = read {
                if !ids.insert(geometry.id.clone()) {
                    broken.add(format!("{place}/id"), "must be its own: another geometry has it, too");
                }
                geometries.push(geometry);
            }
        }
        broken.into_result().map(|()| geometries)
    }

    fn read(fields: &Map<String, Value>, place: &str, broken: &mut Violations) -> Option<Self> {
        let mut take = |name: &str, check: &dyn Fn(&str) -> Result<(), String>| {
            let text = fields.get(name).and_then(Value::as_str);
            let checked = match text {
                Some(text) => check(text).map(|()| text.to_owned()),
                None => Err("must be there, and a text".to_owned()),
            };
            broken.take(&format!("{place}/{name}"), checked)
        };
        let id = take("id", &|text| of_length(text, ID_MAX_CHARACTERS));
        let name = take("name", &|text| of_length(text, NAME_MAX_CHARACTERS));
        let file = take("file", &|text| {
            FilePath::new(text)
                .map(|_| ())
                .map_err(|invalid| invalid.rule.to_owned())
        });
        Some(Self {
            id: id?,
            name: name?,
            file: FilePath::new(file?).ok()?,
        })
    }
}

fn of_length(text: &str, most: usize) -> Result<(), String> {
    if (1..=most).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(format!("must have 1 to {most} characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let broken = Geometry::read_manifest(text.as_bytes()).expect_err(text);
        broken.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_manifest_is_read_in_its_order_and_more_than_it_needs_is_passed_over() {
        let text = "\u{feff}{\"version\": 2, \"geometries\": [\
            {\"id\": \"b\", \"name\": \"Диффузор\", \"file\": \"geometries/b.json\", \"author\": 1},\
            {\"id\": \"a\", \"name\": \"A\", \"file\": \"a.json\"}]}";
        let read = Geometry::read_manifest(text.as_bytes()).expect("a manifest");
        let told: Vec<_> = read.iter().map(|one| (one.id.as_str(), one.file.as_str())).collect();
        assert_eq!(told, [("b", "geometries/b.json"), ("a", "a.json")]);
        assert_eq!(Geometry::read_manifest(b"{\"geometries\": []}"), Ok(Vec::new()));
    }

    #[test]
    fn every_fault_is_told_with_its_place() {
        assert!(faults("{\"geometries\": [")[0].contains("is no JSON: EOF"));
        assert_eq!(faults("[]"), ["/geometries must be a list of geometries"]);
        let text = "{\"geometries\": [1, {\"id\": 1, \"name\": \"\", \"file\": \"../a\"}, \
            {\"id\": \"a\", \"name\": \"a\", \"file\": \"a\"}, {\"id\": \"a\", \"name\": \"a\", \"file\": \"a\"}]}";
        assert_eq!(
            faults(text),
            [
                "/geometries/0 must be an object with id, name and file",
                "/geometries/1/id must be there, and a text",
                "/geometries/1/name must have 1 to 500 characters",
                "/geometries/1/file must not have a segment `.` or `..`",
                "/geometries/3/id must be its own: another geometry has it, too",
            ]
        );
    }
}
