//! Server-sent events, read from an answer that goes on.

use anyhow::bail;

use super::super::http::Incoming;

/// The longest line: many times what the api puts into one.
const LINE_MAX_BYTES: usize = 64 << 20;

#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::client) struct Event {
    pub(in crate::client) id: Option<String>,
    pub(in crate::client) name: String,
    pub(in crate::client) data: String,
}

pub(in crate::client) struct Events {
    incoming: Incoming,
    parser: Parser,
}

impl Events {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            parser: Parser::default(),
        }
    }

    /// `None` when the answer has ended.
    pub(in crate::client) async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            if let Some(event) = self.parser.event() {
                return Ok(Some(event));
            }
            let Some(piece) = self.incoming.next().await? else {
                return Ok(None);
            };
            self.parser.read(piece.as_ref())?;
        }
    }
}

/// The pieces of an answer end anywhere, also within a character.
#[derive(Debug, Default)]
struct Parser {
    unread: Vec<u8>,
    /// Of the unread bytes these are looked through already: they have no end of a line.
    looked: usize,
    event: Event,
}

impl Parser {
    fn read(&mut self, piece: &[u8]) -> anyhow::Result<()> {
        if self.unread.len() + piece.len() > LINE_MAX_BYTES {
            bail!("the api sent an event that is too long");
        }
        self.unread.extend_from_slice(piece);
        Ok(())
    }

    /// The next event that is whole. Those without data, such as comments, are none.
    fn event(&mut self) -> Option<Event> {
        while let Some(end) = self.unread[self.looked..].iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=self.looked + end).collect();
            self.looked = 0;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.event.id = Some(value.to_owned()),
                "event" => value.clone_into(&mut self.event.name),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                _ => {}
            }
        }
        self.looked = self.unread.len();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_wherever_their_pieces_end() {
        let text = "retry: 1000\n\n: a comment\n\nid: 1-0\nevent: log\ndata: {\"text\":\"é\"}\n\n:\n\n\
                    event: end\ndata: a\ndata:b\n\nevent: cut";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in text.as_bytes().chunks(size) {
                parser.read(piece).expect("short");
                events.extend(std::iter::from_fn(|| parser.event()));
            }
            let event = |id: Option<&str>, name: &str, data: &str| Event {
                id: id.map(str::to_owned),
                name: name.to_owned(),
                data: data.to_owned(),
            };
            let log = event(Some("1-0"), "log", r#"{"text":"é"}"#);
            assert_eq!(events, [log, event(None, "end", "a\nb")]);
        }
    }
}
