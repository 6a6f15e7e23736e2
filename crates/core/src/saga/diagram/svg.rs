//! The drawing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::graph::{Edge, Graph, Label, Node, shortened};
use super::layout::{Layout, Link, Point, Route, Size, layout};
use crate::saga::definition::End;

/// The most characters of a line.
const LINE_MAX_CHARACTERS: usize = 56;

/// The most transitions between two states that are spelt out.
const LABELS_MAX_COUNT: usize = 5;

const LINE_HEIGHT: f64 = 16.0;

const FONT: &str = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', sans-serif";

/// How wide letters are at most in the fonts above, in pixels: a drawing cannot ask the one who shows it.
const LETTER_WIDTH: f64 = 6.7;

/// Of names of states, which are larger and bold.
const TITLE_LETTER_WIDTH: f64 = 8.2;

/// Of scripts whose letters fill a square.
const SQUARE_LETTER_WIDTH: f64 = 13.0;

const INK: &str = "#0f172a";
const GREY: &str = "#64748b";
const PATH: &str = "#0369a1";

pub(super) fn drawn(graph: &Graph<'_>) -> String {
    let states: Vec<Words> = graph
        .nodes
        .iter()
        .enumerate()
        .map(|(index, node)| Words::of(graph, index, node))
        .collect();
    let edges = merged(graph);
    let sizes: Vec<Size> = states.iter().map(Words::size).collect();
    let links: Vec<Link> = edges.iter().map(Merged::link).collect();
    let layout = layout(&sizes, &links, graph.initial);
    let mut drawing = Drawing::default();
    let below = if graph.timeout.is_some() {
        LINE_HEIGHT + 8.0
    } else {
        0.0
    };
    let at_least = graph
        .timeout
        .as_ref()
        .map_or(0.0, |words| width(words, LETTER_WIDTH) + 48.0);
    let size = Size {
        width: layout.size.width.max(at_least),
        height: layout.size.height + below + BEGIN_HEIGHT,
    };
    drawing.begin(graph.name, size);
    drawing.all(graph, &layout, &states, &edges, &sizes);
    if let Some(timeout) = &graph.timeout {
        let place = Point {
            x: size.width / 2.0,
            y: layout.size.height + BEGIN_HEIGHT,
        };
        drawing.text(place, "font-style=\"italic\"", GREY, timeout);
    }
    drawing.text.push_str("</svg>\n");
    drawing.text
}

/// Room for the mark at which it begins.
const BEGIN_HEIGHT: f64 = 28.0;

/// What stands in the box of a state.
struct Words {
    title: String,
    lines: Vec<String>,
}

impl Words {
    fn of(graph: &Graph<'_>, index: usize, node: &Node<'_>) -> Self {
        // What leads from a state to itself is told in it.
        let own = graph.edges.iter().filter(|edge| edge.from == index && edge.to == index);
        let own = own.map(|edge| {
            let mark = if edge.is_taken { "✔ " } else { "" };
            format!("{mark}↻ {}", edge.label.line())
        });
        let lines = node.lines.iter().cloned().chain(own);
        Self {
            title: shortened(node.name, LINE_MAX_CHARACTERS),
            lines: lines.map(|line| shortened(&line, LINE_MAX_CHARACTERS)).collect(),
        }
    }

    fn size(&self) -> Size {
        let lines = self.lines.iter().map(|line| width(line, LETTER_WIDTH));
        let widest = lines.fold(width(&self.title, TITLE_LETTER_WIDTH), f64::max);
        Size {
            width: (widest + 28.0).max(96.0),
            height: 38.0 + self.lines.len() as f64 * LINE_HEIGHT,
        }
    }
}

/// All transitions from one state to another.
struct Merged {
    from: usize,
    to: usize,
    lines: Vec<(String, bool)>,
    is_taken: bool,
}

impl Merged {
    fn link(&self) -> Link {
        let widest = self.lines.iter().map(|(line, _)| width(line, LETTER_WIDTH));
        Link {
            from: self.from,
            to: self.to,
            label: Size {
                width: widest.fold(0.0, f64::max) + 10.0,
                height: self.lines.len() as f64 * LINE_HEIGHT + 6.0,
            },
        }
    }
}

fn merged(graph: &Graph<'_>) -> Vec<Merged> {
    let mut places: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    let mut merged: Vec<Merged> = Vec::new();
    for edge in graph.edges.iter().filter(|edge| edge.from != edge.to) {
        let place = *places.entry((edge.from, edge.to)).or_insert_with(|| {
            merged.push(Merged {
                from: edge.from,
                to: edge.to,
                lines: Vec::new(),
                is_taken: false,
            });
            merged.len() - 1
        });
        merged[place].is_taken |= edge.is_taken;
        merged[place].lines.extend(lines(edge));
    }
    for edge in &mut merged {
        let most = LABELS_MAX_COUNT * 2;
        if edge.lines.len() > most {
            let left_out = edge.lines.len() - most + 1;
            edge.lines.truncate(most - 1);
            edge.lines.push((format!("… and {left_out} lines more"), false));
        }
    }
    merged
}

/// A label on one line, or on two where it is long.
fn lines(edge: &Edge) -> Vec<(String, bool)> {
    let Label { trigger, effect } = &edge.label;
    let whole = edge.label.line();
    let lines = if whole.chars().count() <= LINE_MAX_CHARACTERS / 2 || effect.is_empty() {
        vec![whole]
    } else {
        vec![trigger.clone(), format!("/ {effect}")]
    };
    let lines = lines
        .iter()
        .map(|line| (shortened(line, LINE_MAX_CHARACTERS), edge.is_taken));
    lines.collect()
}

fn width(text: &str, letter: f64) -> f64 {
    let widths = text.chars().map(|one| {
        if u32::from(one) < 0x1100 {
            letter
        } else {
            SQUARE_LETTER_WIDTH
        }
    });
    widths.sum()
}

#[derive(Default)]
struct Drawing {
    text: String,
}

impl Drawing {
    fn put(&mut self, words: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{words}").expect("a String takes every text");
    }

    fn begin(&mut self, name: &str, size: Size) {
        let (width, height) = (number(size.width), number(size.height));
        let name = escaped(name);
        self.put(format_args!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
             font-family=\"{FONT}\" font-size=\"12\" text-anchor=\"middle\">"
        ));
        self.put(format_args!("<title>The saga {name}</title>"));
        self.put(format_args!(
            "<defs>\
             <marker id=\"end\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerUnits=\"userSpaceOnUse\" markerWidth=\"9\" markerHeight=\"9\" orient=\"auto\">\
             <path d=\"M0,0 L8,4 L0,8 Z\" fill=\"{GREY}\"/></marker>\
             <marker id=\"end-taken\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerUnits=\"userSpaceOnUse\" markerWidth=\"12\" markerHeight=\"12\" orient=\"auto\">\
             <path d=\"M0,0 L8,4 L0,8 Z\" fill=\"{PATH}\"/></marker></defs>"
        ));
        self.put(format_args!("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"));
    }

    fn all(&mut self, graph: &Graph<'_>, layout: &Layout, states: &[Words], edges: &[Merged], sizes: &[Size]) {
        self.put(format_args!("<g transform=\"translate(0 {BEGIN_HEIGHT})\">"));
        if let (Some(place), Some(size)) = (layout.boxes.get(graph.initial), sizes.get(graph.initial)) {
            let (x, top) = (number(place.x), place.y - size.height / 2.0);
            self.put(format_args!(
                "<circle cx=\"{x}\" cy=\"{}\" r=\"6\" fill=\"{INK}\"/>",
                number(top - 36.0)
            ));
            let (from, to) = (number(top - 30.0), number(top));
            self.put(format_args!(
                "<path d=\"M{x},{from} V{to}\" fill=\"none\" stroke=\"{GREY}\" marker-end=\"url(#end)\"/>"
            ));
        }
        // What was taken lies over what was not.
        for is_taken in [false, true] {
            for (edge, route) in edges.iter().zip(&layout.routes) {
                if edge.is_taken == is_taken {
                    self.route(route, is_taken);
                }
            }
        }
        for (edge, route) in edges.iter().zip(&layout.routes) {
            self.label(edge, route.label);
        }
        for (((node, words), place), size) in graph.nodes.iter().zip(states).zip(&layout.boxes).zip(sizes) {
            self.state(node, words, *place, *size);
        }
        self.put(format_args!("</g>"));
    }

    /// From point to point in curves that begin and end upright.
    fn route(&mut self, route: &Route, is_taken: bool) {
        let mut path = String::new();
        for (index, point) in route.points.iter().enumerate() {
            let (x, y) = (number(point.x), number(point.y));
            let words = match index.checked_sub(1).map(|before| route.points[before]) {
                None => format!("M{x},{y}"),
                Some(before) if (before.x - point.x).abs() < 0.05 => format!(" V{y}"),
                Some(before) => {
                    let half = number(f64::midpoint(before.y, point.y));
                    format!(" C{},{half} {x},{half} {x},{y}", number(before.x))
                }
            };
            path.push_str(&words);
        }
        let (ink, stroke, end) = if is_taken {
            (PATH, "2.5", "end-taken")
        } else {
            (GREY, "1.2", "end")
        };
        self.put(format_args!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{ink}\" stroke-width=\"{stroke}\" marker-end=\"url(#{end})\"/>"
        ));
    }

    fn label(&mut self, edge: &Merged, middle: Point) {
        let Size { width, height } = edge.link().label;
        let (x, y) = (number(middle.x - width / 2.0), number(middle.y - height / 2.0));
        let (width, tall) = (number(width), number(height));
        self.put(format_args!(
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{tall}\" fill=\"#ffffff\" fill-opacity=\"0.92\"/>"
        ));
        let first = middle.y - height / 2.0 + LINE_HEIGHT - 1.0;
        for (index, (line, is_taken)) in edge.lines.iter().enumerate() {
            let place = Point {
                x: middle.x,
                y: first + index as f64 * LINE_HEIGHT,
            };
            let (weight, ink) = if *is_taken {
                ("font-weight=\"600\"", PATH)
            } else {
                ("", INK)
            };
            self.text(place, weight, ink, line);
        }
    }

    fn state(&mut self, node: &Node<'_>, words: &Words, middle: Point, size: Size) {
        let (mut ink, mut fill, mut stroke) = match node.end {
            None => (GREY, "#f8fafc", "1.2"),
            Some(End::Completed) => ("#15803d", "#f0fdf4", "1.8"),
            Some(End::Failed) => ("#b91c1c", "#fef2f2", "1.8"),
        };
        if node.is_visited || node.is_current {
            fill = "#e0f2fe";
            // An end keeps its colour: it says which one it is.
            ink = if node.end.is_some() { ink } else { PATH };
        }
        if node.is_current {
            (fill, stroke) = ("#bae6fd", "3");
        }
        let (left, top) = (middle.x - size.width / 2.0, middle.y - size.height / 2.0);
        self.put(format_args!("<g><title>{}</title>", escaped(node.name)));
        let mut frame = |inset: f64, fill: &str| {
            let (x, y) = (number(left + inset), number(top + inset));
            let (width, height) = (number(size.width - inset * 2.0), number(size.height - inset * 2.0));
            self.put(format_args!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{fill}\" stroke=\"{ink}\" \
                 stroke-width=\"{stroke}\"/>"
            ));
        };
        frame(0.0, fill);
        if node.end.is_some() {
            // An end has two frames.
            frame(4.0, "none");
        }
        let place = Point {
            x: middle.x,
            y: top + 24.0,
        };
        self.text(place, "font-size=\"14\" font-weight=\"600\"", INK, &words.title);
        for (index, line) in words.lines.iter().enumerate() {
            let place = Point {
                x: middle.x,
                y: top + 42.0 + index as f64 * LINE_HEIGHT,
            };
            self.text(place, "", GREY, line);
        }
        self.put(format_args!("</g>"));
    }

    fn text(&mut self, place: Point, more: &str, ink: &str, words: &str) {
        let (x, y) = (number(place.x), number(place.y));
        let words = escaped(words);
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(" {more}")
        };
        self.put(format_args!(
            "<text x=\"{x}\" y=\"{y}\" fill=\"{ink}\"{more}>{words}</text>"
        ));
    }
}

/// Tenths of a pixel are enough.
fn number(value: f64) -> String {
    let rounded = format!("{value:.1}");
    let rounded = rounded.strip_suffix(".0").unwrap_or(&rounded);
    if rounded == "-0" {
        "0".to_owned()
    } else {
        rounded.to_owned()
    }
}

/// As text between tags and as the value of an attribute. What XML cannot say is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {}
            letter => escaped.push(letter),
        }
    }
    escaped
}
