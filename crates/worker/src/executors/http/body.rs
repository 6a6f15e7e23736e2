//! The body of an answer, as far as it is worth its memory.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Method, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::error::Error;

/// How many times its size what is compressed may become.
pub(super) const RATIO_MAX: usize = 100;

/// What is no larger does no harm, however well it is compressed.
const HARMLESS_BYTES: usize = 64 * 1024;

/// How much of the answer with an unexpected status is told.
const BEGINNING_BYTES: usize = 1024;

/// How long is waited for that: the status is known, and a body that does not end must not hide it.
const BEGINNING_PATIENCE: Duration = Duration::from_secs(1);

/// The whole body, decompressed.
pub(super) async fn whole(response: Response<Incoming>, method: &Method, most: usize) -> Result<Vec<u8>, Error> {
    // The headers of an answer to HEAD are those that GET would have.
    if method == Method::HEAD {
        return Ok(Vec::new());
    }
    let (head, mut body) = response.into_parts();
    let mut decoder = Decoder::new(&head.headers, most)?;
    if body.size_hint().lower() > most as u64 {
        return Err(Error::TooLarge { most });
    }
    while let Some(chunk) = next(&mut body).await.map_err(Error::Unreadable)? {
        decoder.take(&chunk)?;
    }
    decoder.finish()
}

/// What the body begins with, as far as it comes soon, as a text for people; empty where there is none that can be read.
pub(super) async fn beginning(response: Response<Incoming>) -> String {
    let (head, mut body) = response.into_parts();
    let Ok(mut decoder) = Decoder::new(&head.headers, BEGINNING_BYTES) else {
        return String::new();
    };
    let reading = async {
        while let Ok(Some(chunk)) = next(&mut body).await {
            if decoder.take(&chunk).is_err() {
                break;
            }
        }
    };
    // What came until then is told.
    let _ = timeout(BEGINNING_PATIENCE, reading).await;
    decoder.yield_all();
    let text = String::from_utf8_lossy(&decoder.collected().bytes);
    let shown = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
    let text: String = text.chars().filter(|letter| shown(*letter)).collect();
    text.trim().to_owned()
}

async fn next(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = body.frame().await {
        // What is no data is a trailer, which nobody asked for.
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

enum Decoder {
    Plain(Collected),
    Gzip(MultiGzDecoder<Collected>),
}

impl Decoder {
    fn new(headers: &HeaderMap, most: usize) -> Result<Self, Error> {
        let collected = Collected {
            bytes: Vec::new(),
            received: 0,
            most,
            excess: None,
        };
        let encodings: Vec<&[u8]> = headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .map(|value| value.as_bytes().trim_ascii())
            .filter(|encoding| !encoding.is_empty() && !encoding.eq_ignore_ascii_case(b"identity"))
            .collect();
        match encodings[..] {
            [] => Ok(Self::Plain(collected)),
            [one] if one.eq_ignore_ascii_case(b"gzip") || one.eq_ignore_ascii_case(b"x-gzip") => {
                Ok(Self::Gzip(MultiGzDecoder::new(collected)))
            }
            _ => Err(Error::UnknownEncoding),
        }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.collected_mut().received += chunk.len();
        let written = match self {
            Self::Plain(collected) => collected.write_all(chunk),
            Self::Gzip(decoder) => decoder.write_all(chunk),
        };
        written.map_err(|_| self.trouble())
    }

    fn finish(mut self) -> Result<Vec<u8>, Error> {
        let finished = match &mut self {
            Self::Gzip(decoder) if decoder.get_ref().received > 0 => decoder.try_finish(),
            // An answer such as 304 may name an encoding and have no body.
            Self::Gzip(_) | Self::Plain(_) => Ok(()),
        };
        if finished.is_err() {
            return Err(self.trouble());
        }
        Ok(std::mem::take(&mut self.collected_mut().bytes))
    }

    /// Hands out also what it has decompressed and kept back until more comes.
    fn yield_all(&mut self) {
        if let Self::Gzip(decoder) = self {
            // What is too much, or no gzip, was found before.
            let _ = decoder.flush();
        }
    }

    fn trouble(&self) -> Error {
        let collected = self.collected();
        match collected.excess {
            Some(Excess::Size) => Error::TooLarge { most: collected.most },
            Some(Excess::Ratio) => Error::Bomb,
            None => Error::Corrupt,
        }
    }

    fn collected(&self) -> &Collected {
        match self {
            Self::Plain(collected) => collected,
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    fn collected_mut(&mut self) -> &mut Collected {
        match self {
            Self::Plain(collected) => collected,
            Self::Gzip(decoder) => decoder.get_mut(),
        }
    }
}

/// What has come out so far. Refuses to become too much, which stops whoever writes.
struct Collected {
    bytes: Vec<u8>,
    /// How many bytes came in for them.
    received: usize,
    most: usize,
    excess: Option<Excess>,
}

enum Excess {
    Size,
    Ratio,
}

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.most - self.bytes.len();
        // What fits is kept: whoever wants only the beginning reads until there is no room.
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let size = self.bytes.len();
        if bytes.len() > room {
            self.excess = Some(Excess::Size);
        } else if size > HARMLESS_BYTES && size > RATIO_MAX.saturating_mul(self.received) {
            self.excess = Some(Excess::Ratio);
        }
        match self.excess {
            None => Ok(bytes.len()),
            Some(_) => Err(io::Error::other("too much")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::Compression;
    use flate2::read::GzEncoder;
    use http::HeaderValue;

    use super::*;

    const MOST: usize = 10 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        let mut encoder = GzEncoder::new(bytes, Compression::best());
        encoder.read_to_end(&mut compressed).expect("in memory");
        compressed
    }

    fn decode(encoding: Option<&'static str>, chunks: &[&[u8]], most: usize) -> Result<Vec<u8>, Error> {
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        let mut decoder = Decoder::new(&headers, most)?;
        for chunk in chunks {
            decoder.take(chunk)?;
        }
        decoder.finish()
    }

    #[test]
    fn a_body_is_decompressed_in_whatever_pieces_it_comes() {
        let compressed = gzip(b"hello, world");
        for size in [1, 3, compressed.len()] {
            let chunks: Vec<&[u8]> = compressed.chunks(size).collect();
            assert_eq!(
                decode(Some("GZip"), &chunks, MOST).expect("it is whole"),
                b"hello, world"
            );
        }
        let twice = [compressed.as_slice(), compressed.as_slice()];
        assert_eq!(decode(Some("gzip"), &twice, MOST).expect("two members").len(), 24);
        assert_eq!(decode(Some("gzip"), &[], MOST).expect("nothing at all"), b"");
        assert_eq!(decode(Some("identity"), &[b"a", b"b"], MOST).expect("as it is"), b"ab");
        assert_eq!(decode(None, &[], MOST).expect("nothing at all"), b"");
    }

    #[test]
    fn what_is_cut_or_is_no_gzip_is_told() {
        let compressed = gzip(b"hello, world");
        for broken in [
            &compressed[..compressed.len() - 1],
            &compressed[..12],
            b"hello, world",
            b"\x1f",
        ] {
            assert!(
                matches!(decode(Some("gzip"), &[broken], MOST), Err(Error::Corrupt)),
                "{broken:?}"
            );
        }
        for encoding in ["br", "deflate", "gzip, gzip", "zstd"] {
            assert!(matches!(decode(Some(encoding), &[], MOST), Err(Error::UnknownEncoding)));
        }
    }

    #[test]
    fn the_cap_is_kept_to_the_byte() {
        let body = vec![7; 1_000];
        for encoding in [None, Some("gzip")] {
            let sent = if encoding.is_some() { gzip(&body) } else { body.clone() };
            assert_eq!(decode(encoding, &[&sent], 1_000).expect("it fits").len(), 1_000);
            assert!(matches!(
                decode(encoding, &[&sent], 999),
                Err(Error::TooLarge { most: 999 })
            ));
        }
    }

    #[test]
    fn what_grows_more_than_a_hundred_times_is_stopped() {
        let harmless = gzip(&vec![0; HARMLESS_BYTES]);
        assert!(
            harmless.len() * RATIO_MAX < HARMLESS_BYTES,
            "it is compressed well enough to tell"
        );
        assert!(decode(Some("gzip"), &[&harmless], MOST).is_ok());
        let bomb = gzip(&vec![0; 5 << 20]);
        assert!(matches!(decode(Some("gzip"), &[&bomb], MOST), Err(Error::Bomb)));
        let noise: Vec<u8> = (0..200_000_u32)
            .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        let fine = gzip(&noise);
        assert_eq!(
            decode(Some("gzip"), &[&fine], MOST).expect("it hardly shrinks").len(),
            800_000
        );
    }
}
