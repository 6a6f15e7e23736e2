//! Headers that are too deep, before a parser has them.
//!
//! Whoever writes to a queue decides what the headers of a message are, and lists and tables lie in each other at five bytes a
//! level: a frame of 128 KiB has room for 26,000. lapin's parser calls itself at each of them, on a thread of 2 MiB, and a
//! stack that is at its end ends the process. So the bytes are looked at on their way to it, with a stack of our own that is as
//! deep as we let it be:
//!
//! ```text
//!   'A' length 'A' length … 'A' length bytes     a list in a list …, as deep as somebody likes
//!   'A' length 'A' length … 'x' length bytes     the one that lies too deep is a text of bytes: nobody looks into it
//! ```
//!
//! A list, a table and a byte array all have their length before what they hold, so one byte is another one, and the frame is as
//! long as it was. Whatever is malformed is let through to the parser, which stops at the same place: it takes a length only
//! within what is left of the list around.

/// How deep lists and tables in headers may lie in each other. What is deeper becomes [bytes](lapin::types::AMQPType::ByteArray).
pub(crate) const HEADERS_DEPTH_MAX: usize = 32;

const FRAME_OF_HEADERS: u64 = 2;

/// The class, a weight that means nothing, and the size of the body.
const BEFORE_PROPERTIES: u64 = 2 + 2 + 8;

const HAS_CONTENT_TYPE: u64 = 1 << 15;
const HAS_CONTENT_ENCODING: u64 = 1 << 14;
const HAS_HEADERS: u64 = 1 << 13;

/// Follows the frames of a connection, in pieces of any size.
#[derive(Debug)]
pub(super) struct Shallow {
    /// So many bytes pass before the next field.
    skipped: u64,
    field: Field,
    /// So many bytes of the field are still to come.
    missing: u8,
    /// What the others say together.
    value: u64,
    /// What the field lies in: the frame, the table of headers, and what is open in it.
    open: Vec<Level>,
}

/// What has to be known of the bytes to know where the next of them is.
#[derive(Debug, Clone, Copy)]
enum Field {
    /// The kind of a frame, its channel, and its length.
    Frame,
    /// Which properties there are.
    Properties,
    /// The length of a property before the headers; how many there are with it.
    Text { properties: u8 },
    /// The length of the table of headers.
    Headers,
    /// The length of the name of a header.
    Name,
    /// The kind of a value.
    Kind,
    /// The length of a text.
    Length,
    /// The length of a list or a table.
    Opened(Inside),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Frame,
    Table,
    List,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    inside: Inside,
    /// So many bytes of it are neither behind us nor on their way to the next field.
    left: u64,
}

/// Nothing more of the frame matters, or nothing more of it can be told: the lengths do not fit into each other.
struct Over;

impl Field {
    const fn bytes(self) -> u8 {
        match self {
            Self::Frame => 7,
            Self::Properties => 2,
            Self::Headers | Self::Length | Self::Opened(_) => 4,
            Self::Text { .. } | Self::Name | Self::Kind => 1,
        }
    }
}

impl Default for Shallow {
    fn default() -> Self {
        Self {
            skipped: 0,
            field: Field::Frame,
            missing: Field::Frame.bytes(),
            value: 0,
            open: Vec::with_capacity(HEADERS_DEPTH_MAX + 1),
        }
    }
}

impl Shallow {
    /// Lets the next bytes pass.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() {
            if self.skipped > 0 {
                let passed = usize::try_from(self.skipped).map_or(bytes.len(), |skipped| skipped.min(bytes.len()));
                self.skipped -= passed as u64;
                bytes = &mut bytes[passed..];
                continue;
            }
            self.value = self.value << 8 | u64::from(bytes[0]);
            self.missing -= 1;
            if self.missing == 0 {
                let value = std::mem::take(&mut self.value);
                if self.known(value, &mut bytes[0]).is_err() {
                    self.end_of_frame();
                }
            }
            bytes = &mut bytes[1..];
        }
    }

    /// The field says this, with its last byte.
    fn known(&mut self, value: u64, last: &mut u8) -> Result<(), Over> {
        match self.field {
            Field::Frame => {
                let (kind, left) = (value >> 48, value & 0xffff_ffff);
                let inside = Inside::Frame;
                self.open.push(Level { inside, left });
                if kind != FRAME_OF_HEADERS {
                    return Err(Over);
                }
                self.skip(BEFORE_PROPERTIES)?;
                self.next(Field::Properties)
            }
            Field::Properties if value & HAS_HEADERS == 0 => Err(Over),
            Field::Properties => {
                let properties =
                    [HAS_CONTENT_TYPE, HAS_CONTENT_ENCODING].map(|property| u8::from(value & property != 0));
                self.texts_or_headers(properties[0] + properties[1])
            }
            Field::Text { properties } => {
                self.skip(value)?;
                self.texts_or_headers(properties - 1)
            }
            Field::Headers => self.enter(Inside::Table, value),
            Field::Name => {
                self.skip(value)?;
                self.next(Field::Kind)
            }
            Field::Kind => self.kind(last),
            Field::Length => {
                self.skip(value)?;
                self.next_value()
            }
            Field::Opened(inside) => self.enter(inside, value),
        }
    }

    fn texts_or_headers(&mut self, properties: u8) -> Result<(), Over> {
        self.next(match properties {
            0 => Field::Headers,
            properties => Field::Text { properties },
        })
    }

    /// As the parser takes them, which follows RabbitMQ and not the standard.
    fn kind(&mut self, kind: &mut u8) -> Result<(), Over> {
        // Beside the headers themselves the frame is open.
        let is_deep = self.open.len() > HEADERS_DEPTH_MAX;
        let bytes = match kind {
            b'A' | b'F' if is_deep => {
                *kind = b'x';
                return self.next(Field::Length);
            }
            b'A' => return self.next(Field::Opened(Inside::List)),
            b'F' => return self.next(Field::Opened(Inside::Table)),
            b'S' | b'x' => return self.next(Field::Length),
            b'V' => 0,
            b't' | b'b' | b'B' => 1,
            b's' | b'U' | b'u' => 2,
            b'I' | b'i' | b'f' => 4,
            b'D' => 5,
            b'L' | b'l' | b'd' | b'T' => 8,
            _ => return Err(Over),
        };
        self.skip(bytes)?;
        self.next_value()
    }

    fn enter(&mut self, inside: Inside, left: u64) -> Result<(), Over> {
        self.take(left)?;
        self.open.push(Level { inside, left });
        self.next_value()
    }

    /// Of the innermost list or table that has one.
    fn next_value(&mut self) -> Result<(), Over> {
        while self
            .open
            .last()
            .is_some_and(|level| level.left == 0 && level.inside != Inside::Frame)
        {
            self.open.pop();
        }
        match self.open.last().map(|level| level.inside) {
            Some(Inside::Table) => self.next(Field::Name),
            Some(Inside::List) => self.next(Field::Kind),
            // The headers are over.
            Some(Inside::Frame) | None => Err(Over),
        }
    }

    fn next(&mut self, field: Field) -> Result<(), Over> {
        self.take(u64::from(field.bytes()))?;
        self.field = field;
        self.missing = field.bytes();
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Over> {
        self.take(bytes)?;
        self.skipped += bytes;
        Ok(())
    }

    fn take(&mut self, bytes: u64) -> Result<(), Over> {
        let level = self.open.last_mut().ok_or(Over)?;
        level.left = level.left.checked_sub(bytes).ok_or(Over)?;
        Ok(())
    }

    /// The rest of the frame passes.
    fn end_of_frame(&mut self) {
        const END_MARK: u64 = 1;
        let left: u64 = self.open.drain(..).map(|level| level.left).sum();
        self.skipped += left + END_MARK;
        self.field = Field::Frame;
        self.missing = Field::Frame.bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS_ONLY: [u8; 2] = [0x20, 0];

    fn sized(kind: u8, held: &[u8]) -> Vec<u8> {
        let length = u32::try_from(held.len()).expect("short").to_be_bytes();
        [&[kind][..], &length, held].concat()
    }

    /// Lists in each other, the innermost with this in it.
    fn lists(depth: usize, innermost: &[u8]) -> Vec<u8> {
        (0..depth).fold(innermost.to_vec(), |held, _| sized(b'A', &held))
    }

    fn named(name: &str, value: &[u8]) -> Vec<u8> {
        [&[u8::try_from(name.len()).expect("short")][..], name.as_bytes(), value].concat()
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&[kind, 0, 1][..], &length, payload, &[0xce]].concat()
    }

    /// A frame of headers, with some properties before and behind them.
    fn headers(entries: &[u8]) -> Vec<u8> {
        let before = [
            &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xe4, 0][..],
            &named("text/plain", &[]),
            &named("utf-8", &[]),
        ];
        let table = &sized(b'F', entries)[1..];
        frame(2, &[&before.concat()[..], table, &named("17", &[])].concat())
    }

    fn passed(bytes: &[u8], at_once: usize) -> Vec<u8> {
        let (mut shallow, mut bytes) = (Shallow::default(), bytes.to_vec());
        for piece in bytes.chunks_mut(at_once) {
            shallow.pass(piece);
        }
        bytes
    }

    #[test]
    fn what_lies_too_deep_becomes_bytes_of_the_same_length_and_all_else_passes() {
        let values: Vec<Vec<u8>> = [
            ("t", 1),
            ("b", 1),
            ("B", 1),
            ("s", 2),
            ("U", 2),
            ("u", 2),
            ("I", 4),
            ("i", 4),
            ("f", 4),
            ("D", 5),
            ("L", 8),
            ("l", 8),
            ("d", 8),
            ("T", 8),
            ("V", 0),
        ]
        .map(|(kind, bytes)| [kind.as_bytes(), &vec![b'A'; bytes]].concat())
        .to_vec();
        let every = [values.concat(), sized(b'S', b"AAAA"), sized(b'x', b"FFFF")].concat();
        let table = sized(
            b'F',
            &[named("a", &sized(b'A', &every)), named("b", &sized(b'F', &[]))].concat(),
        );
        let stream = |deep: &[u8]| {
            let entries = [
                named("x", &table),
                named("deep", deep),
                named("y", &sized(b'S', b"end")),
            ]
            .concat();
            let body = frame(3, &lists(40, &[]));
            [
                frame(1, &lists(40, &[])),
                headers(&entries),
                body.clone(),
                headers(&entries),
                body,
            ]
            .concat()
        };
        let most = HEADERS_DEPTH_MAX - 1;
        for (deep, expected) in [
            (lists(most, &every), lists(most, &every)),
            (lists(most + 1, &every), {
                let mut cut = sized(b'x', &every);
                for _ in 0..most {
                    cut = sized(b'A', &cut);
                }
                cut
            }),
            (lists(20_000, &[]), {
                let mut cut = sized(b'x', &lists(20_000 - most - 1, &[]));
                for _ in 0..most {
                    cut = sized(b'A', &cut);
                }
                cut
            }),
        ] {
            let (given, expected) = (stream(&deep), stream(&expected));
            for at_once in [1, 2, 7, 4_096, usize::MAX] {
                assert!(passed(&given, at_once) == expected, "in pieces of {at_once}");
            }
        }
    }

    #[test]
    fn malformed_frames_are_left_to_the_parser_and_the_next_one_is_looked_at() {
        let deep = headers(&named("deep", &lists(40, &[])));
        let cut = passed(&deep, usize::MAX);
        assert_ne!(cut, deep);
        let mut too_long = sized(b'A', b"V");
        too_long[4] = 200;
        let short = |payload: &[u8]| frame(2, payload);
        for malformed in [
            headers(&named("a", &too_long)),
            headers(&named("a", b"?")),
            headers(&[200]),
            headers(&named("a", &sized(b'A', b"A"))),
            short(&[]),
            short(&[0; 13]),
            short(&[&[0; 12][..], &HEADERS_ONLY].concat()),
            short(&[&[0; 12][..], &HEADERS_ONLY, &[0, 0, 1, 0]].concat()),
            short(&[&[0; 12][..], &[0x80, 0, 9]].concat()),
        ] {
            let expected = [&malformed[..], &cut].concat();
            assert_eq!(passed(&[&malformed[..], &deep].concat(), 3), expected);
        }
    }
}
