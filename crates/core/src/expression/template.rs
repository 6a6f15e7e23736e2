//! JSON whose texts may hold expressions: `"${ output.total }"`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::compile::{Expression, InvalidExpression, Size, Variable};
use super::convert::quoted;
use super::scan::{Piece, pieces};
use super::scope::{EvaluationError, Scope};
use crate::JsonText;
use crate::task::json_pointer;

/// A JSON value with expressions in its texts.
///
/// A text that is nothing but one expression becomes its value, of whatever type. In other texts the values of the
/// expressions take their places: texts as they are, anything else as JSON. `$${` stands for `${`. Names of fields are never
/// expressions.
#[derive(Debug, Clone)]
pub struct Template(Node);

#[derive(Debug, Clone)]
enum Node {
    /// JSON without expressions, byte for byte.
    Constant(JsonText),
    Value(Expression),
    Text(Vec<Part>),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Value(Expression),
}

/// Why a value is no template, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer} {fault}")]
pub struct InvalidTemplate {
    /// A JSON pointer to the text, below the value.
    pub pointer: String,
    /// The place counts from the beginning of the text.
    pub fault: InvalidExpression,
}

impl Template {
    /// # Errors
    /// Every text that is none, in the order in which they are written.
    pub fn parse(json: &JsonText, variables: &[Variable<'_>]) -> Result<Self, Vec<InvalidTemplate>> {
        let mut parser = Parser {
            variables,
            pointer: String::new(),
            faults: Vec::new(),
        };
        let node = parser.node(json.as_str());
        if parser.faults.is_empty() {
            Ok(Self(node))
        } else {
            Err(parser.faults)
        }
    }

    /// Its value, if it holds no expression and so is the same in every scope.
    pub fn constant(&self) -> Option<&JsonText> {
        match &self.0 {
            Node::Constant(json) => Some(json),
            Node::Value(_) | Node::Text(_) | Node::List(_) | Node::Object(_) => None,
        }
    }

    pub fn is_constant(&self) -> bool {
        self.constant().is_some()
    }

    /// What of it is the same in every scope, with `null` in the place of all else, and pointers to that.
    pub(crate) fn known(&self) -> (JsonText, Vec<String>) {
        let mut known = Known {
            pointer: String::new(),
            json: String::new(),
            unknown: Vec::new(),
        };
        known.write(&self.0);
        (JsonText::trusted(known.json), known.unknown)
    }

    /// What it holds.
    pub fn size(&self) -> Size {
        self.0.size()
    }

    /// The value, of at most so many bytes.
    ///
    /// # Errors
    /// [`EvaluationError`] of the first expression that fails, with a pointer to its text, below the value.
    pub fn render(&self, scope: &Scope, most: usize) -> Result<JsonText, (String, EvaluationError)> {
        if let Node::Constant(json) = &self.0 {
            return Ok(json.clone());
        }
        let mut rendering = Rendering {
            scope,
            most,
            pointer: String::new(),
            json: String::new(),
        };
        match rendering.write(&self.0) {
            Ok(()) => {
                // Values lie deeper here than where they came from.
                let json = JsonText::new(rendering.json);
                json.map_err(|error| (String::new(), EvaluationError::Failed(format!("the result {error}"))))
            }
            Err(error) => Err((rendering.pointer, error)),
        }
    }
}

impl Node {
    fn constant(&self) -> Option<&str> {
        match self {
            Self::Constant(json) => Some(json.as_str()),
            Self::Value(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// A text without expressions may still be another one than it is written.
    fn is_as_written(&self, json: &RawValue) -> bool {
        self.constant() == Some(json.get())
    }

    fn size(&self) -> Size {
        match self {
            Self::Constant(_) => Size::default(),
            Self::Value(expression) => expression.size(),
            Self::Text(parts) => parts.iter().map(Part::size).sum(),
            Self::List(nodes) => nodes.iter().map(Self::size).sum(),
            Self::Object(fields) => fields.iter().map(|(_, node)| node.size()).sum(),
        }
    }
}

/// Whether there may be an expression: `${`, of which each character may be written as `\u….`
fn may_hold_expressions(json: &str) -> bool {
    json.contains("${") || json.contains("\\u00")
}

struct Parser<'a> {
    variables: &'a [Variable<'a>],
    pointer: String,
    faults: Vec<InvalidTemplate>,
}

impl Parser<'_> {
    fn node(&mut self, json: &str) -> Node {
        let constant = || Node::Constant(JsonText::trusted(json));
        if !may_hold_expressions(json) {
            return constant();
        }
        let shape = serde_json::Deserializer::from_str(json).deserialize_any(ShapeOf);
        match shape {
            Ok(Shape::Text(text)) => self.text(&text).unwrap_or_else(constant),
            Ok(Shape::List(entries)) => {
                let nodes = entries.iter().enumerate();
                let nodes: Vec<Node> = nodes
                    .map(|(index, entry)| self.below(&format!("/{index}"), |parser| parser.node(entry.get())))
                    .collect();
                if nodes
                    .iter()
                    .zip(&entries)
                    .all(|(node, entry)| node.is_as_written(entry))
                {
                    return constant();
                }
                match nodes.iter().map(Node::constant).collect::<Option<Vec<&str>>>() {
                    Some(entries) => Node::Constant(JsonText::trusted(format!("[{}]", entries.join(",")))),
                    None => Node::List(nodes),
                }
            }
            Ok(Shape::Object(fields)) => {
                let nodes: Vec<(String, Node)> = fields
                    .iter()
                    .map(|(name, value)| {
                        let node = self.below(&json_pointer(name), |parser| parser.node(value.get()));
                        (name.clone(), node)
                    })
                    .collect();
                if nodes
                    .iter()
                    .zip(&fields)
                    .all(|((_, node), (_, value))| node.is_as_written(value))
                {
                    return constant();
                }
                let constants = nodes
                    .iter()
                    .map(|(name, node)| node.constant().map(|value| format!("{}:{value}", quoted(name))));
                match constants.collect::<Option<Vec<String>>>() {
                    Some(fields) => Node::Constant(JsonText::trusted(format!("{{{}}}", fields.join(",")))),
                    None => Node::Object(nodes),
                }
            }
            Ok(Shape::Other) | Err(_) => constant(),
        }
    }

    fn below<T>(&mut self, step: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.pointer.len();
        self.pointer.push_str(step);
        let read = read(self);
        self.pointer.truncate(length);
        read
    }

    /// `None` if it has none, or a fault.
    fn text(&mut self, text: &str) -> Option<Node> {
        let pieces = match pieces(text) {
            Ok(pieces) => pieces,
            Err(fault) => {
                self.fault(fault);
                return None;
            }
        };
        if let [Piece::Expression { source, position }] = pieces.as_slice() {
            return self.expression(source, *position).map(Node::Value);
        }
        let mut parts = Vec::with_capacity(pieces.len());
        let mut has_expressions = false;
        for piece in pieces {
            match piece {
                Piece::Text(text) => parts.push(Part::Text(text.to_owned())),
                Piece::Expression { source, position } => {
                    has_expressions = true;
                    parts.extend(self.expression(source, position).map(Part::Value));
                }
            }
        }
        // A text without expressions may still be another one than it is written.
        (has_expressions || text.contains("$${")).then(|| {
            if has_expressions {
                Node::Text(parts)
            } else {
                let text: String = parts.iter().map(Part::constant).collect();
                Node::Constant(JsonText::trusted(quoted(&text)))
            }
        })
    }

    fn expression(&mut self, source: &str, position: usize) -> Option<Expression> {
        match Expression::compile(source, self.variables) {
            Ok(expression) => Some(expression),
            Err(fault) => {
                self.fault(InvalidExpression {
                    position: position + fault.position - 1,
                    message: fault.message,
                });
                None
            }
        }
    }

    fn fault(&mut self, fault: InvalidExpression) {
        self.faults.push(InvalidTemplate {
            pointer: self.pointer.clone(),
            fault,
        });
    }
}

impl Part {
    fn constant(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Value(_) => "",
        }
    }

    fn size(&self) -> Size {
        match self {
            Self::Text(_) => Size::default(),
            Self::Value(expression) => expression.size(),
        }
    }
}

/// The outermost level of a JSON value.
enum Shape<'a> {
    Text(Cow<'a, str>),
    List(Vec<&'a RawValue>),
    /// In the order in which they are written.
    Object(Vec<(String, &'a RawValue)>),
    Other,
}

struct ShapeOf;

impl<'de> Visitor<'de> for ShapeOf {
    type Value = Shape<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Shape::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Shape::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Shape::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = entries.next_entry()? {
            fields.push(field);
        }
        Ok(Shape::Object(fields))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Shape::Other)
    }
}

struct Known {
    pointer: String,
    json: String,
    unknown: Vec<String>,
}

impl Known {
    fn write(&mut self, node: &Node) {
        match node {
            Node::Constant(json) => self.json.push_str(json.as_str()),
            Node::Value(_) | Node::Text(_) => {
                self.json.push_str("null");
                self.unknown.push(self.pointer.clone());
            }
            Node::List(nodes) => {
                let entries = nodes.iter().enumerate();
                self.all(
                    entries.map(|(index, node)| (format!("/{index}"), String::new(), node)),
                    "[]",
                );
            }
            Node::Object(fields) => {
                let fields = fields.iter();
                let fields = fields.map(|(name, node)| (json_pointer(name), format!("{}:", quoted(name)), node));
                self.all(fields, "{}");
            }
        }
    }

    fn all<'n>(&mut self, parts: impl Iterator<Item = (String, String, &'n Node)>, brackets: &str) {
        let (begin, end) = brackets.split_at(1);
        self.json.push_str(begin);
        for (index, (step, name, node)) in parts.enumerate() {
            self.json.push_str(if index > 0 { "," } else { "" });
            self.json.push_str(&name);
            let length = self.pointer.len();
            self.pointer.push_str(&step);
            self.write(node);
            self.pointer.truncate(length);
        }
        self.json.push_str(end);
    }
}

struct Rendering<'a> {
    scope: &'a Scope,
    most: usize,
    /// To the text that is rendered; after a failure, to the one that failed.
    pointer: String,
    json: String,
}

impl Rendering<'_> {
    fn put(&mut self, text: &str) -> Result<(), EvaluationError> {
        if self.json.len() + text.len() > self.most {
            return Err(EvaluationError::TooLarge { most: self.most });
        }
        self.json.push_str(text);
        Ok(())
    }

    fn write(&mut self, node: &Node) -> Result<(), EvaluationError> {
        match node {
            Node::Constant(json) => self.put(json.as_str()),
            Node::Value(expression) => {
                let value = expression.evaluate(self.scope, self.most)?;
                self.put(value.as_str())
            }
            Node::Text(parts) => {
                let text = self.text(parts)?;
                self.put(&quoted(&text))
            }
            Node::List(nodes) => {
                self.put("[")?;
                for (index, node) in nodes.iter().enumerate() {
                    self.put(if index > 0 { "," } else { "" })?;
                    self.below(&format!("/{index}"), node)?;
                }
                self.put("]")
            }
            Node::Object(fields) => {
                self.put("{")?;
                for (index, (name, node)) in fields.iter().enumerate() {
                    self.put(if index > 0 { "," } else { "" })?;
                    self.put(&quoted(name))?;
                    self.put(":")?;
                    self.below(&json_pointer(name), node)?;
                }
                self.put("}")
            }
        }
    }

    fn below(&mut self, step: &str, node: &Node) -> Result<(), EvaluationError> {
        let length = self.pointer.len();
        self.pointer.push_str(step);
        self.write(node)?;
        self.pointer.truncate(length);
        Ok(())
    }

    fn text(&self, parts: &[Part]) -> Result<String, EvaluationError> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Value(expression) => {
                    let value = expression.evaluate(self.scope, self.most)?;
                    match serde_json::from_str::<String>(value.as_str()) {
                        Ok(value) => text.push_str(&value),
                        Err(_) => text.push_str(value.as_str()),
                    }
                }
            }
            if text.len() > self.most {
                return Err(EvaluationError::TooLarge { most: self.most });
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIABLES: [Variable<'static>; 2] = [Variable::any("output"), Variable::any("task")];

    fn json(text: &str) -> JsonText {
        JsonText::new(text).expect("JSON")
    }

    fn scope() -> Scope {
        Scope::new([
            ("output", json(r#"{"total": 5, "name": "a \"b\"", "list": [1, 2.50]}"#)),
            ("task", json("null")),
        ])
    }

    fn rendered(template: &str) -> String {
        let template = Template::parse(&json(template), &VARIABLES).expect("a template");
        template
            .render(&scope(), 1_000)
            .expect("it has a value")
            .as_str()
            .to_owned()
    }

    #[test]
    fn a_text_that_is_one_expression_keeps_its_type_and_others_are_filled_in() {
        for (template, expected) in [
            (r#""${output.total}""#, "5"),
            (r#""${ output.list }""#, "[1,2.5]"),
            (
                r#""n = ${output.total}, ${output.name}; ${output.list}${task}""#,
                r#""n = 5, a \"b\"; [1,2.5]null""#,
            ),
            (
                r#"{"b": "${output.total}", "a": [1.0, "${task}"]}"#,
                r#"{"b":5,"a":[1.0,null]}"#,
            ),
            (r#"{"${output}": "${output.total}"}"#, r#"{"${output}":5}"#),
            (r#""$${output}""#, r#""${output}""#),
            (r#"{"b": ["$${output}", 1.0]}"#, r#"{"b":["${output}",1.0]}"#),
            (r#""\u0024{output.total}""#, "5"),
            (r#""\u00e9""#, r#""\u00e9""#),
            (
                r#"{"a": 12345678901234567890123, "b": "${output.total}"}"#,
                r#"{"a":12345678901234567890123,"b":5}"#,
            ),
        ] {
            assert_eq!(rendered(template), expected, "{template}");
        }
    }

    #[test]
    fn what_holds_no_expression_stays_byte_for_byte() {
        for constant in [r#"{"b": 1.50,  "a": "$5 {x}"}"#, "null", r#"["\u0041"]"#] {
            let template = Template::parse(&json(constant), &VARIABLES).expect("a template");
            assert!(template.is_constant(), "{constant}");
            assert_eq!(rendered(constant), constant);
        }
    }

    #[test]
    fn what_is_known_of_it_is_told_apart() {
        let template = r#"{"a/b": ["${output}", 1.0, "$${"], "c": {"d": "x ${task}"}, "e": {"f": 7}}"#;
        let (known, unknown) = Template::parse(&json(template), &VARIABLES)
            .expect("a template")
            .known();
        assert_eq!(known.as_str(), r#"{"a/b":[null,1.0,"${"],"c":{"d":null},"e":{"f": 7}}"#);
        assert_eq!(unknown, ["/a~1b/0", "/c/d"]);
        let whole = Template::parse(&json(r#""${output}""#), &VARIABLES).expect("a template");
        assert_eq!(whole.known().1, [""]);
    }

    #[test]
    fn every_fault_is_told_with_its_pointer_and_its_place_in_the_text() {
        let template = json(r#"{"a/b": ["ok", "é ${ outptu.x }"], "c": "${ 1 + }", "d": "${ output"}"#);
        let faults = Template::parse(&template, &VARIABLES).expect_err("three faults");
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert_eq!(
            told[0],
            "/a~1b/1 at character 6: there is no variable outptu; there are output, task"
        );
        assert!(told[1].starts_with("/c at character 8: "), "{told:?}");
        assert_eq!(told[2], "/d at character 3: the expression has no } at its end");
    }

    #[test]
    fn what_fails_to_evaluate_is_told_with_its_pointer() {
        let template = Template::parse(&json(r#"{"a": [0, "${ output.no }"]}"#), &VARIABLES).expect("a template");
        let (pointer, error) = template.render(&scope(), 1_000).expect_err("no such field");
        assert_eq!(pointer, "/a/1");
        assert_eq!(error.to_string(), "there is no field \"no\"");
    }

    #[test]
    fn a_result_is_bounded() {
        let template = Template::parse(&json(r#"["${output}", "${output}"]"#), &VARIABLES).expect("a template");
        assert!(template.render(&scope(), 200).is_ok());
        let (_, error) = template.render(&scope(), 60).expect_err("too large");
        assert_eq!(error, EvaluationError::TooLarge { most: 60 });
        let size = Size {
            expressions: 2,
            regexes: 0,
        };
        assert_eq!(template.size(), size);
    }

    #[test]
    fn what_is_put_together_too_deep_is_no_result() {
        let deep = format!("{}{}", "[".repeat(64), "]".repeat(64));
        let scope = Scope::new([("output", json(&deep)), ("task", json("null"))]);
        let template = Template::parse(&json(r#"{"a": "${output}"}"#), &VARIABLES).expect("a template");
        let (_, error) = template.render(&scope, 1_000).expect_err("65 levels");
        assert!(error.to_string().contains("nested deeper"), "{error}");
    }
}
