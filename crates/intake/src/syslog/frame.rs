use crate::limits::{OCTET_COUNT_DIGITS_MAX, SYSLOG_FRAME_BYTES_MAX};
use bytes::Bytes;

/// One syslog message taken out of a stream, without its framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The message, at most as long as the decoder's limit, never empty.
    pub bytes: Bytes,
    /// How its end was known.
    pub framing: Framing,
    /// It was longer than the limit; the rest was dropped.
    pub cut: bool,
    /// Its end arrived. False for what [`FrameDecoder::finish`] returns.
    pub complete: bool,
}

/// The two framings of RFC 6587 section 3.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `MSG-LEN SP MSG` (section 3.4.1).
    OctetCount,
    /// Ended by LF, CR LF or NUL (section 3.4.2).
    Line,
}

/// Splits a TCP byte stream into syslog messages, however the bytes are chunked.
///
/// Each message says for itself how it is framed. It is octet-counted when it starts with a number
/// without leading zero of at most [`OCTET_COUNT_DIGITS_MAX`] digits, a space and `<`; once a
/// connection has sent such a message, the `<` may be missing. Anything else is a line, so a line
/// that merely starts with a number stays whole. Empty lines are no messages.
///
/// Memory: at most one unfinished message, and none between messages.
#[derive(Debug)]
pub struct FrameDecoder {
    frame_bytes_max: usize,
    state: State,
    /// Bytes of the unfinished message; while undecided, the possible octet count.
    held: Vec<u8>,
    /// This connection has sent an octet count followed by `<`.
    counts_octets: bool,
    /// Bytes dropped because their message was too long.
    dropped_bytes: u64,
    blank_lines: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// At the start of a message, perhaps with some digits held.
    Undecided,
    /// `keep` bytes of the message are still to come, then `skip` to drop.
    Octets { keep: usize, skip: usize },
    /// Within a line.
    Line,
    /// Within the part of a line that is dropped.
    LineRest,
}

impl FrameDecoder {
    /// A decoder that keeps up to `frame_bytes_max` bytes of a message (clamped to 1 and
    /// [`SYSLOG_FRAME_BYTES_MAX`]).
    pub fn new(frame_bytes_max: usize) -> Self {
        FrameDecoder {
            frame_bytes_max: frame_bytes_max.clamp(1, SYSLOG_FRAME_BYTES_MAX),
            state: State::Undecided,
            held: Vec::new(),
            counts_octets: false,
            dropped_bytes: 0,
            blank_lines: 0,
        }
    }

    /// Takes the next bytes of the stream and pushes the messages they complete.
    pub fn push(&mut self, chunk: &Bytes, frames: &mut Vec<Frame>) {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::Undecided => self.decide(chunk, at),
                State::Octets { keep, skip } => self.octets(chunk, at, keep, skip, frames),
                State::Line => self.line(chunk, at, frames),
                State::LineRest => self.line_rest(chunk, at),
            };
        }
    }

    /// The message left unfinished when the stream ended, if any. The decoder starts anew.
    pub fn finish(&mut self) -> Option<Frame> {
        let framing = match self.state {
            State::Octets { .. } => Framing::OctetCount,
            _ => Framing::Line,
        };
        self.state = State::Undecided;
        self.counts_octets = false;
        let held = std::mem::take(&mut self.held);
        let (bytes, cut) = self.cap(held.into());
        (!bytes.is_empty()).then_some(Frame { bytes, framing, cut, complete: false })
    }

    /// What is held of a message, as one that was cut; the rest of it will be dropped. `None` where no
    /// message has begun for certain (at most an octet count is held).
    pub fn cut_short(&mut self) -> Option<Frame> {
        let framing = match self.state {
            State::Octets { keep, skip } if keep > 0 => {
                self.state = State::Octets { keep: 0, skip: keep + skip };
                Framing::OctetCount
            }
            State::Line => {
                self.state = State::LineRest;
                Framing::Line
            }
            _ => return None,
        };
        let held = std::mem::take(&mut self.held);
        let (bytes, _) = self.cap(held.into());
        (!bytes.is_empty()).then_some(Frame { bytes, framing, cut: true, complete: true })
    }

    /// Bytes held for the unfinished message.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Bytes dropped from over-long messages since the last call.
    pub fn take_dropped_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_bytes)
    }

    /// Empty lines passed over since the last call.
    pub fn take_blank_lines(&mut self) -> u64 {
        std::mem::take(&mut self.blank_lines)
    }

    /// Reads the possible octet count byte by byte until it is one or is not. Returns where to go on.
    fn decide(&mut self, chunk: &Bytes, mut at: usize) -> usize {
        while let Some(&byte) = chunk.get(at) {
            let follows_space = self.held.last() == Some(&b' ');
            if follows_space {
                self.state = State::Line;
                if byte == b'<' || self.counts_octets {
                    self.counts_octets = true;
                    let count = self.held_count();
                    let keep = count.min(self.frame_bytes_max);
                    self.state = State::Octets { keep, skip: count - keep };
                    self.held.clear();
                }
                return at;
            }
            let digits = self.held.len();
            let part_of_count = match byte {
                b'0' => digits > 0 && digits < OCTET_COUNT_DIGITS_MAX,
                b'1'..=b'9' => digits < OCTET_COUNT_DIGITS_MAX,
                b' ' => digits > 0,
                _ => false,
            };
            if !part_of_count {
                self.state = State::Line;
                return at;
            }
            self.held.push(byte);
            at += 1;
        }
        at
    }

    /// The number held. Proof that it fits: at most seven digits.
    fn held_count(&self) -> usize {
        let digits = self.held.iter().filter(|byte| byte.is_ascii_digit());
        digits.fold(0, |count, digit| count * 10 + usize::from(digit - b'0'))
    }

    fn octets(
        &mut self,
        chunk: &Bytes,
        at: usize,
        keep: usize,
        skip: usize,
        frames: &mut Vec<Frame>,
    ) -> usize {
        let available = chunk.len() - at;
        if keep == 0 {
            let skipped = skip.min(available);
            self.dropped_bytes += skipped as u64;
            self.state = match skip - skipped {
                0 => State::Undecided,
                skip => State::Octets { keep: 0, skip },
            };
            return at + skipped;
        }
        let taken = keep.min(available);
        let piece = chunk.slice(at..at + taken);
        if taken < keep {
            self.held.extend_from_slice(&piece);
            self.state = State::Octets { keep: keep - taken, skip };
            return at + taken;
        }
        let bytes = self.joined(piece);
        frames.push(Frame { bytes, framing: Framing::OctetCount, cut: skip > 0, complete: true });
        self.state = match skip {
            0 => State::Undecided,
            skip => State::Octets { keep: 0, skip },
        };
        at + taken
    }

    fn line(&mut self, chunk: &Bytes, at: usize, frames: &mut Vec<Frame>) -> usize {
        let rest = &chunk[at..];
        let Some(length) = memchr::memchr2(b'\n', 0, rest) else {
            self.hold_line(rest, frames);
            return chunk.len();
        };
        let line = self.joined(chunk.slice(at..at + length));
        let ends_with_cr = rest.get(length) == Some(&b'\n') && line.last() == Some(&b'\r');
        let (bytes, cut) = match line.len() - usize::from(ends_with_cr) {
            content if content <= self.frame_bytes_max => (line.slice(..content), false),
            _ => self.cap(line),
        };
        if bytes.is_empty() {
            self.blank_lines += 1;
        } else {
            frames.push(Frame { bytes, framing: Framing::Line, cut, complete: true });
        }
        self.state = State::Undecided;
        at + length + 1
    }

    /// Keeps a piece of a line whose end has not come. A line that is already too long is let go
    /// at once: its end may never come. One byte more than the limit may be the CR of its end.
    fn hold_line(&mut self, piece: &[u8], frames: &mut Vec<Frame>) {
        // Held digits may already be more than a very small limit.
        let room = (self.frame_bytes_max + 1).saturating_sub(self.held.len());
        if piece.len() <= room {
            self.held.extend_from_slice(piece);
            return;
        }
        let (kept, dropped) = piece.split_at(room);
        self.held.extend_from_slice(kept);
        self.dropped_bytes += dropped.len() as u64;
        let held = std::mem::take(&mut self.held);
        let (bytes, cut) = self.cap(held.into());
        frames.push(Frame { bytes, framing: Framing::Line, cut, complete: true });
        self.state = State::LineRest;
    }

    fn line_rest(&mut self, chunk: &Bytes, at: usize) -> usize {
        let rest = &chunk[at..];
        let end = memchr::memchr2(b'\n', 0, rest);
        self.dropped_bytes += end.unwrap_or(rest.len()) as u64;
        match end {
            Some(length) => {
                self.state = State::Undecided;
                at + length + 1
            }
            None => chunk.len(),
        }
    }

    /// What is held and `piece`, as one; without copying when nothing is held.
    fn joined(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() {
            return piece;
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(&piece);
        held.into()
    }

    fn cap(&mut self, mut bytes: Bytes) -> (Bytes, bool) {
        let over = bytes.len().saturating_sub(self.frame_bytes_max);
        self.dropped_bytes += over as u64;
        bytes.truncate(self.frame_bytes_max);
        (bytes, over > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode_in(chunks: &[&[u8]], max: usize) -> (Vec<Frame>, u64) {
        let mut decoder = FrameDecoder::new(max);
        let mut frames = Vec::new();
        for chunk in chunks {
            decoder.push(&Bytes::copy_from_slice(chunk), &mut frames);
            assert!(decoder.held_bytes() <= max.max(OCTET_COUNT_DIGITS_MAX) + 1);
        }
        frames.extend(decoder.finish());
        (frames, decoder.take_dropped_bytes())
    }

    fn texts(input: &[u8], max: usize) -> Vec<String> {
        let describe = |frame: &Frame| {
            let framing = if frame.framing == Framing::OctetCount { "#" } else { "" };
            let cut = if frame.cut { "~" } else { "" };
            let open = if frame.complete { "" } else { "…" };
            format!("{framing}{}{cut}{open}", frame.bytes.escape_ascii())
        };
        decode_in(&[input], max).0.iter().map(describe).collect()
    }

    #[test]
    fn every_message_says_how_it_is_framed() {
        let cases: &[(&[u8], &[&str])] = &[
            (b"<13>a\n<13>b\r\n<13>c\0", &["<13>a", "<13>b", "<13>c"]),
            (b"6 <13>a\n6 <13>bc", &["#<13>a\\n", "#<13>bc"]),
            // Told apart per message, and a line end after a counted message is no message.
            (b"5 <13>a\n<13>b\n5 <13>c<13>d\n", &["#<13>a", "<13>b", "#<13>c", "<13>d"]),
            // A line that merely starts with a number.
            (
                b"2026 began\n10.0.0.1 up\n12345678 x\n",
                &["2026 began", "10.0.0.1 up", "12345678 x"],
            ),
            (b"0 <13>a\n05 <13>b\n7\n 5 <13>\n", &["0 <13>a", "05 <13>b", "7", " 5 <13>"]),
            // Once a connection counts, a message without a priority is counted too.
            (b"5 <13>a3 abc", &["#<13>a", "#abc"]),
            (b"3 abc\n", &["3 abc"]),
            (b"\n\r\n\0\0\n<1>a", &["<1>a…"]),
            (b"9 <13>", &["#<13>…"]),
            (b"12", &["12…"]),
            (b"12 ", &["12 …"]),
            (b"<13>\rmid\r\r\n", &["<13>\\rmid\\r"]),
            (b"\xff\xfe\x83\n", &["\\xff\\xfe\\x83"]),
        ];
        for (input, expected) in cases {
            assert_eq!(&texts(input, 1024), expected, "{:?}", input.escape_ascii().to_string());
        }
    }

    #[test]
    fn messages_past_the_limit_are_cut_and_the_next_is_whole() {
        assert_eq!(texts(b"12345678\r\n<1>a\n", 8), ["12345678", "<1>a"]);
        assert_eq!(texts(b"123456789\r\n<1>a\n", 8), ["12345678~", "<1>a"]);
        assert_eq!(texts(b"8 <345678x8 <345678y", 8), ["#<345678x", "#<345678y"]);
        assert_eq!(texts(b"9 <3456789x9 <3456789y", 8), ["#<3456789~", "#<3456789~"]);
        assert_eq!(decode_in(&[b"<23456789abc\n"], 8).1, 4);
        assert_eq!(decode_in(&[b"9999999 <", &[b'x'; 100]], 8).1, 93);
    }

    #[test]
    fn a_line_without_end_is_kept_once_and_costs_no_memory() {
        let mut decoder = FrameDecoder::new(1024);
        let mut frames = Vec::new();
        let chunk = Bytes::from(vec![b'x'; 1000]);
        for _ in 0..10_000 {
            decoder.push(&chunk, &mut frames);
            assert!(decoder.held_bytes() <= 1025);
        }
        assert_eq!(frames.len(), 1);
        assert!(frames[0].cut);
        assert_eq!(decoder.take_dropped_bytes(), 10_000_000 - 1024);
    }

    #[test]
    fn what_is_cut_short_is_handed_over_and_its_rest_dropped() {
        for (begun, framing, rest) in [
            (&b"<13>begun"[..], Framing::Line, &b" and ended\n<13>next\n"[..]),
            (b"19 <13>begun", Framing::OctetCount, b" and ended<13>next\n"),
        ] {
            let mut decoder = FrameDecoder::new(1024);
            let mut frames = Vec::new();
            decoder.push(&Bytes::copy_from_slice(begun), &mut frames);
            let cut = decoder.cut_short().unwrap();
            assert_eq!((&cut.bytes[..], cut.framing, cut.cut), (&b"<13>begun"[..], framing, true));
            assert_eq!((decoder.held_bytes(), decoder.cut_short()), (0, None));
            decoder.push(&Bytes::copy_from_slice(rest), &mut frames);
            let texts: Vec<&[u8]> = frames.iter().map(|frame| &frame.bytes[..]).collect();
            assert_eq!(texts, [b"<13>next"]);
            assert_eq!(decoder.take_dropped_bytes(), " and ended".len() as u64);
        }
        // A count is no message yet.
        let mut decoder = FrameDecoder::new(1024);
        decoder.push(&Bytes::from_static(b"12"), &mut Vec::new());
        assert_eq!(decoder.cut_short(), None);
    }

    #[test]
    fn the_limit_is_clamped() {
        for (asked, granted) in [
            (0, 1),
            (SYSLOG_FRAME_BYTES_MAX, SYSLOG_FRAME_BYTES_MAX),
            (SYSLOG_FRAME_BYTES_MAX + 1, SYSLOG_FRAME_BYTES_MAX),
        ] {
            assert_eq!(FrameDecoder::new(asked).frame_bytes_max, granted);
        }
    }

    fn syslog_like() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"<13>hello".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\0".to_vec()),
            Just(b" ".to_vec()),
            (0u32..40).prop_map(|count| format!("{count} <").into_bytes()),
            (0u32..100_000_000).prop_map(|number| number.to_string().into_bytes()),
            proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(
            input in syslog_like(),
            cuts in proptest::collection::vec(0usize..400, 0..12),
            max in 1usize..40,
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
            let single: Vec<&[u8]> = input.chunks(1).collect();
            let whole = decode_in(&[&input], max);
            prop_assert_eq!(&decode_in(&pieces, max), &whole);
            prop_assert_eq!(&decode_in(&single, max), &whole);
        }

        #[test]
        fn counted_messages_come_back_exactly(
            messages in proptest::collection::vec("<[0-9]{1,3}>(?s:.){0,60}", 0..20)
        ) {
            let stream: String =
                messages.iter().map(|text| format!("{} {text}", text.len())).collect();
            let (frames, _) = decode_in(&[stream.as_bytes()], 4096);
            let back: Vec<_> = frames.iter().map(|frame| frame.bytes.to_vec()).collect();
            let sent: Vec<_> = messages.iter().map(|text| text.as_bytes().to_vec()).collect();
            prop_assert_eq!(back, sent);
        }
    }
}
