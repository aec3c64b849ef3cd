//! A syslog stream gives the same messages however it is cut into pieces. The first byte is the
//! longest message kept, the next four are the lengths of the pieces, in turn.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yagura_intake::limits::OCTET_COUNT_DIGITS_MAX;
use yagura_intake::syslog::{Frame, FrameDecoder};

fuzz_target!(|bytes: &[u8]| {
    let Some(([max, cuts @ ..], stream)) = bytes.split_first_chunk::<5>() else { return };
    let max = usize::from(*max) + 1;
    let whole = decode(max, [stream].into_iter());
    let mut rest = stream;
    let mut lengths = cuts.iter().cycle().map(|&cut| usize::from(cut).max(1));
    let pieces = std::iter::from_fn(|| {
        let (piece, after) = rest.split_at(lengths.next()?.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    });
    let pieced = decode(max, pieces);
    assert_eq!(whole, pieced);
    let (frames, dropped, _) = whole;
    let kept: usize = frames.iter().map(|frame| frame.bytes.len()).sum();
    assert!(kept as u64 + dropped <= stream.len() as u64, "no byte comes twice");
    for frame in frames {
        assert!((1..=max).contains(&frame.bytes.len()));
    }
});

/// Messages, bytes dropped, and empty lines.
fn decode<'a>(max: usize, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, u64, u64) {
    let mut decoder = FrameDecoder::new(max);
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(&piece.to_vec().into(), &mut frames);
        assert!(decoder.held_bytes() <= max.max(OCTET_COUNT_DIGITS_MAX) + 1);
    }
    frames.extend(decoder.finish());
    assert_eq!(decoder.held_bytes(), 0);
    (frames, decoder.take_dropped_bytes(), decoder.take_blank_lines())
}
