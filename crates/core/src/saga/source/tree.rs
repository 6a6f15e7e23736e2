//! YAML or JSON as a tree whose every node has its place.
//!
//! Of YAML only what JSON can say is taken. Aliases would let a small text stand for a large one, tags ask for types that
//! nobody knows, and of two fields of one name a reader sees the one and the program takes the other.

use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use super::pairs::Joined;
use super::scalar::resolved;
use crate::saga::fault::{Fault, Faults, Place, shown};
use crate::task::json_pointer;

/// The largest text of a definition.
pub const SOURCE_MAX_BYTES: usize = 256 << 10;

/// How deep lists and objects may lie in each other.
pub const SOURCE_MAX_DEPTH: usize = 32;

/// The largest canonical form. It may be larger than what was written: it has the quotes that YAML does without, and the lists for
/// which one entry may stand.
pub const CANONICAL_MAX_BYTES: usize = 2 * SOURCE_MAX_BYTES;

/// How much a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    bytes: usize,
    depth: usize,
}

impl Bounds {
    /// Of what somebody wrote.
    pub(crate) const SOURCE: Self = Self {
        bytes: SOURCE_MAX_BYTES,
        depth: SOURCE_MAX_DEPTH,
    };

    /// Of what was stored. The lists for which one entry stood make it deeper, each by one: few of them lie in each other.
    pub(crate) const CANONICAL: Self = Self {
        bytes: CANONICAL_MAX_BYTES,
        depth: SOURCE_MAX_DEPTH + 8,
    };
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// What JSON can say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Truth(bool),
    /// As JSON writes it.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the text; no name comes twice.
    Object(Vec<Field>),
}

/// A field of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// Of the name.
    pub(crate) place: Place,
    pub(crate) node: Node,
}

/// Reads a text.
///
/// # Errors
/// All [`Faults`]; behind one of the grammar, of depth or of size there are no others.
pub(crate) fn parse(text: &str, bounds: Bounds) -> Result<(Node, Faults), Faults> {
    let mut builder = Builder::within(bounds);
    if text.len() > bounds.bytes {
        let message = format!("must not be larger than {} bytes, not {}", bounds.bytes, text.len());
        builder.fault(String::new(), Place::START, message);
        return Err(builder.faults);
    }
    // Some editors mark a text as Unicode.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some(nul) = text.find('\0') {
        // Not even in a comment: the text is kept as it is.
        let before = &text[..nul];
        let line_begins = before.rfind('\n').map_or(0, |end| end + 1);
        let place = Place {
            line: before.matches('\n').count() + 1,
            column: before[line_begins..].chars().count() + 1,
        };
        builder.fault(
            String::new(),
            place,
            "contains the character U+0000, which cannot be stored",
        );
        return Err(builder.faults);
    }
    let joined = Joined::of(text);
    let place = |marker: &Marker| joined.original(place(marker));
    let mut parser = Parser::new_from_str(&joined.text);
    while let Some(next) = parser.next_event() {
        match next {
            Ok((event, span)) => {
                if builder.take(event, place(&span.start)).is_break() {
                    break;
                }
            }
            Err(error) => {
                let message = format!("is neither YAML nor JSON: {}", error.info());
                let pointer = builder.pointer();
                builder.fault(pointer, place(error.marker()), message);
                break;
            }
        }
    }
    builder.finish()
}

/// The crate counts lines from 1 and columns from 0.
fn place(marker: &Marker) -> Place {
    Place {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

/// A list or an object whose end has not come yet.
struct Open {
    pointer: String,
    place: Place,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Object {
        fields: Vec<Field>,
        names: HashSet<String>,
        /// The name whose value comes next.
        name: Option<Name>,
    },
}

struct Name {
    text: String,
    place: Place,
    /// There is a field of this name already: this one is told, and left out.
    is_repeated: bool,
}

struct Builder {
    depth_max: usize,
    faults: Faults,
    open: Vec<Open>,
    root: Option<Node>,
    has_document: bool,
}

impl Builder {
    fn within(bounds: Bounds) -> Self {
        Self {
            depth_max: bounds.depth,
            faults: Faults::default(),
            open: Vec::new(),
            root: None,
            has_document: false,
        }
    }

    fn fault(&mut self, pointer: String, place: Place, message: impl Into<String>) {
        self.faults.add(Fault::new(pointer, message).at(place));
    }

    fn take(&mut self, event: Event<'_>, place: Place) -> ControlFlow<()> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => ControlFlow::Continue(()),
            Event::DocumentStart(_) if self.has_document => {
                self.fault(String::new(), place, "must be one document, and a second begins here");
                ControlFlow::Break(())
            }
            Event::DocumentStart(_) => {
                self.has_document = true;
                ControlFlow::Continue(())
            }
            Event::Alias(_) => {
                let pointer = self.pointer();
                self.fault(
                    pointer,
                    place,
                    "is an alias, which is not taken: write the value itself",
                );
                self.put(Node {
                    place,
                    value: Value::Null,
                });
                ControlFlow::Continue(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(anchor, tag.is_some(), place);
                self.scalar(&text, style, place);
                ControlFlow::Continue(())
            }
            Event::SequenceStart(anchor, tag) => {
                self.plain(anchor, tag.is_some(), place);
                self.begin(Content::List(Vec::new()), place)
            }
            Event::MappingStart(anchor, tag) => {
                self.plain(anchor, tag.is_some(), place);
                let content = Content::Object {
                    fields: Vec::new(),
                    names: HashSet::new(),
                    name: None,
                };
                self.begin(content, place)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let value = match open.content {
                        Content::List(nodes) => Value::List(nodes),
                        Content::Object { fields, .. } => Value::Object(fields),
                    };
                    self.put(Node {
                        place: open.place,
                        value,
                    });
                }
                ControlFlow::Continue(())
            }
        }
    }

    /// Tells an anchor and a tag.
    fn plain(&mut self, anchor: usize, has_tag: bool, place: Place) {
        let pointer = self.pointer();
        if anchor > 0 {
            self.fault(pointer.clone(), place, "has an anchor, which is not taken");
        }
        if has_tag {
            self.fault(pointer, place, "has a tag, which is not taken");
        }
    }

    /// Of what comes next.
    fn pointer(&self) -> String {
        let Some(open) = self.open.last() else {
            return String::new();
        };
        match &open.content {
            Content::List(nodes) => format!("{}/{}", open.pointer, nodes.len()),
            Content::Object { name: Some(name), .. } => format!("{}{}", open.pointer, json_pointer(&name.text)),
            Content::Object { name: None, .. } => open.pointer.clone(),
        }
    }

    fn awaits_name(&self) -> bool {
        self.open
            .last()
            .is_some_and(|open| matches!(open.content, Content::Object { name: None, .. }))
    }

    fn begin(&mut self, content: Content, place: Place) -> ControlFlow<()> {
        let pointer = self.pointer();
        if self.awaits_name() {
            self.fault(pointer, place, "the name of a field must be a text");
            return ControlFlow::Break(());
        }
        if self.open.len() >= self.depth_max {
            let message = format!("lies deeper than {} lists and objects in each other", self.depth_max);
            self.fault(pointer, place, message);
            return ControlFlow::Break(());
        }
        self.open.push(Open {
            pointer,
            place,
            content,
        });
        ControlFlow::Continue(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, place: Place) {
        let pointer = self.pointer();
        if text.contains('\0') {
            self.fault(pointer, place, "contains the character U+0000, which cannot be stored");
            self.put(Node {
                place,
                value: Value::Null,
            });
            return;
        }
        if self.awaits_name() {
            self.named(text, place);
            return;
        }
        let value = match style {
            ScalarStyle::Plain => resolved(text),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted | ScalarStyle::Literal | ScalarStyle::Folded => {
                Ok(Value::Text(text.to_owned()))
            }
        };
        let value = value.unwrap_or_else(|message| {
            self.fault(pointer, place, message);
            Value::Null
        });
        self.put(Node { place, value });
    }

    fn named(&mut self, text: &str, place: Place) {
        let Some(open) = self.open.last_mut() else { return };
        let Content::Object { names, name, .. } = &mut open.content else {
            return;
        };
        let is_repeated = !names.insert(text.to_owned());
        *name = Some(Name {
            text: text.to_owned(),
            place,
            is_repeated,
        });
        if is_repeated {
            let pointer = self.pointer();
            self.fault(pointer, place, format!("the field {} is there twice", shown(text)));
        }
    }

    fn put(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.content {
            Content::List(nodes) => nodes.push(node),
            Content::Object { fields, name, .. } => match name.take() {
                Some(name) if !name.is_repeated => fields.push(Field {
                    name: name.text,
                    place: name.place,
                    node,
                }),
                Some(_) => {}
                // An alias, or what cannot be stored, where a name should be: told already. Its value is left out with it.
                None => {
                    *name = Some(Name {
                        text: String::new(),
                        place: node.place,
                        is_repeated: true,
                    });
                }
            },
        }
    }

    fn finish(mut self) -> Result<(Node, Faults), Faults> {
        if let Some(root) = self.root {
            return Ok((root, self.faults));
        }
        if self.faults.is_empty() {
            self.faults.add(Fault::new("", "is empty").at(Place::START));
        }
        Err(self.faults)
    }
}

impl Node {
    /// The node at a pointer into the canonical form, with the pointer as the text has it: where the text has the one entry of
    /// a list without the list, the canonical form has the list. Where something is not there, what it should be in. `left_out` are the
    /// pointers to entries of lists that the canonical form does not have.
    pub(crate) fn locate(&self, canonical: &str, left_out: &BTreeSet<String>) -> (String, Place) {
        let mut node = self;
        let mut place = self.place;
        let mut pointer = String::new();
        for step in canonical.split('/').skip(1) {
            let name = step.replace("~1", "/").replace("~0", "~");
            match &node.value {
                Value::Object(fields) => {
                    if let Some(field) = fields.iter().find(|field| field.name == name) {
                        node = &field.node;
                    } else if name != "0" {
                        break;
                    } else {
                        continue;
                    }
                }
                Value::List(nodes) => {
                    let index = name.parse().ok().map(|index| original(index, &pointer, left_out));
                    let Some((index, entry)) = index.and_then(|index| Some((index, nodes.get(index)?))) else {
                        break;
                    };
                    (node, place) = (entry, entry.place);
                    pointer = format!("{pointer}/{index}");
                    continue;
                }
                Value::Null | Value::Truth(_) | Value::Number(_) | Value::Text(_) => break,
            }
            place = node.place;
            pointer.push('/');
            pointer.push_str(step);
        }
        (pointer, place)
    }

    /// The same content as JSON, always in the same bytes: the fields of an object by their names, and no blanks.
    pub(crate) fn write_canonical(&self, json: &mut String) {
        match &self.value {
            Value::Null => json.push_str("null"),
            Value::Truth(truth) => json.push_str(if *truth { "true" } else { "false" }),
            Value::Number(number) => json.push_str(number),
            Value::Text(text) => json.push_str(&quoted(text)),
            Value::List(nodes) => {
                json.push('[');
                for (index, node) in nodes.iter().enumerate() {
                    json.push_str(if index > 0 { "," } else { "" });
                    node.write_canonical(json);
                }
                json.push(']');
            }
            Value::Object(fields) => {
                let mut fields: Vec<&Field> = fields.iter().collect();
                fields.sort_by(|one, other| one.name.cmp(&other.name));
                json.push('{');
                for (index, field) in fields.into_iter().enumerate() {
                    json.push_str(if index > 0 { "," } else { "" });
                    json.push_str(&quoted(&field.name));
                    json.push(':');
                    field.node.write_canonical(json);
                }
                json.push('}');
            }
        }
    }
}

/// Which entry of a list in the text is that of this number in the definition, where some of the list are left out.
fn original(mut index: usize, list: &str, left_out: &BTreeSet<String>) -> usize {
    let of_the_list = left_out.iter().filter_map(|pointer| {
        let entry = pointer.strip_prefix(list)?.strip_prefix('/')?;
        entry.parse().ok()
    });
    let mut left_out: Vec<usize> = of_the_list.collect();
    left_out.sort_unstable();
    for before in left_out {
        if before <= index {
            index += 1;
        }
    }
    index
}

/// Text as a string of JSON.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Node, Faults> {
        let (root, faults) = super::parse(text, Bounds::SOURCE)?;
        if faults.is_empty() { Ok(root) } else { Err(faults) }
    }

    fn faults(text: &str) -> Vec<String> {
        parse(text)
            .expect_err("it is refused")
            .0
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn canonical(text: &str) -> String {
        let mut json = String::new();
        parse(text).expect("a tree").write_canonical(&mut json);
        json
    }

    #[test]
    fn yaml_and_json_of_one_content_are_one_canonical_text() {
        let yaml = "b: [1, 1.50, ~]\non: yes\na:\n  'x y': \"é\\n\"\n  t: true\n";
        let json = r#"{ "a": {"t": true, "x y": "é\n"}, "on": "yes", "b": [ 1, 1.5, null ] }"#;
        let expected = r#"{"a":{"t":true,"x y":"é\n"},"b":[1,1.5,null],"on":"yes"}"#;
        assert_eq!(canonical(yaml), expected);
        assert_eq!(canonical(json), expected);
        assert_eq!(canonical(expected), expected);
    }

    #[test]
    fn every_node_has_its_place() {
        let root = parse("a:\n  - b: 1\n    c:\n      - x\n      - \"y\"\n").expect("a tree");
        for (pointer, line, column) in [("/a/0/b", 2, 8), ("/a/0/c/0", 4, 9), ("/a/0/c/1", 5, 9), ("/a/0", 2, 5)] {
            assert_eq!(
                root.locate(pointer, &BTreeSet::new()),
                (pointer.to_owned(), Place { line, column })
            );
        }
    }

    #[test]
    fn a_pointer_into_the_canonical_form_finds_its_place_in_a_shorter_one() {
        let root = parse("on:\n  paid: {target: X}\n").expect("a tree");
        let place = Place { line: 2, column: 18 };
        assert_eq!(
            root.locate("/on/paid/0/target", &BTreeSet::new()),
            ("/on/paid/target".to_owned(), place)
        );
        let (pointer, place) = root.locate("/on/paid/0/tasks/3", &BTreeSet::new());
        assert_eq!((pointer.as_str(), place.line), ("/on/paid", 2));
    }

    #[test]
    fn what_only_yaml_can_say_is_refused_with_its_place() {
        assert_eq!(
            faults("a: &x 1\nb: *x\nc: !!str 5\na: 2\n"),
            [
                "line 1, column 7: /a has an anchor, which is not taken",
                "line 2, column 4: /b is an alias, which is not taken: write the value itself",
                "line 3, column 10: /c has a tag, which is not taken",
                "line 4, column 1: /a the field a is there twice",
            ]
        );
        let two = faults("a: 1\n---\nb: 2\n");
        assert_eq!(two.len(), 1, "{two:?}");
        assert!(two[0].contains("must be one document"), "{two:?}");
        assert!(faults("? [a]\n: 1\n")[0].contains("must be a text"));
        assert!(faults("a: \"\\0\"\n")[0].contains("U+0000"));
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_and_a_nul_is_refused_wherever_it_stands() {
        assert_eq!(canonical("\u{feff}a: 1\n"), r#"{"a":1}"#);
        assert_eq!(canonical("\u{feff}{\"a\": 1}"), r#"{"a":1}"#);
        assert_eq!(
            faults("a: 1\n# é\0\n"),
            ["line 2, column 4: contains the character U+0000, which cannot be stored"]
        );
    }

    #[test]
    fn an_empty_a_large_and_a_broken_text_are_refused() {
        assert_eq!(faults(""), ["line 1, column 1: is empty"]);
        assert_eq!(faults("# nothing\n"), ["line 1, column 1: is empty"]);
        let large = format!("a: {}", "x".repeat(SOURCE_MAX_BYTES));
        assert!(faults(&large)[0].contains("must not be larger than 262144 bytes"));
        let broken = faults("a: [1, 2\nb: 3\n");
        assert!(broken[0].contains("is neither YAML nor JSON"), "{broken:?}");
    }

    #[test]
    fn json_as_programs_write_it_is_read() {
        assert_eq!(
            canonical("{\n\t\"a\": [\n\t\t1,\n\t\t\"\\u00e9\\/\"\n\t]\n}\n"),
            "{\"a\":[1,\"é/\"]}"
        );
        assert_eq!(
            canonical(r#"{"a":1,"b":{"c":"${ context.x }"}}"#),
            r#"{"a":1,"b":{"c":"${ context.x }"}}"#
        );
        assert_eq!(canonical(r#"{"pair": "\ud83d\ude00"}"#), r#"{"pair":"😀"}"#);
        let long = format!("{{\"{}\": 1}}", "k".repeat(2_000));
        assert_eq!(canonical(&long), long.replace(": ", ":"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(&nested(SOURCE_MAX_DEPTH)).is_ok());
        let told = faults(&nested(SOURCE_MAX_DEPTH + 1));
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("line 1, column 33: "), "{told:?}");
        assert!(told[0].ends_with("lies deeper than 32 lists and objects in each other"));
        assert!(!faults(&"[".repeat(100_000)).is_empty());
    }
}
