//! The debug log of Netlogon (`netlogon.log`; "Enabling debug logging for the Netlogon service",
//! Microsoft): `06/14 10:00:07 [LOGON] [3352] CORP: SamLogon: ...`. The year is that of the receipt.

use super::{Found, Line};
use crate::context::StreamContext;
use crate::flat::Flat;
use crate::time;

pub(super) fn read(line: &Line<'_>, _: &mut StreamContext, flat: &mut Flat) -> Option<Found> {
    let [m0, m1, b'/', d0, d1, b' ', h0, h1, b':', n0, n1, b':', s0, s1, b' ', b'[', ..] =
        line.text.as_bytes()
    else {
        return None;
    };
    let digits = [m0, m1, d0, d1, h0, h1, n0, n1, s0, s1];
    if !digits.iter().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (category, rest) = line.text.get(16..)?.split_once(']')?;
    let known =
        !category.is_empty() && category.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    if !known {
        return None;
    }
    let month = month(*m0, *m1)?;
    let stamp = format!("{month} {}", line.text.get(3..14)?);
    let (time, _) = time::bsd(&stamp, line.receipt.received, line.receipt.zone)?;
    flat.push("windows.netlogon.category", category);
    let mut text = rest.trim_start();
    if let Some((thread, after)) = text.strip_prefix('[').and_then(|text| text.split_once(']'))
        && thread.bytes().all(|byte| byte.is_ascii_digit())
    {
        flat.push("process.thread.id", thread);
        text = after.trim_start();
    }
    // A domain stands before the text of most lines; no text of Netlogon's begins with two words
    // without one of them being its own.
    if let Some((domain, after)) = text.split_once(": ")
        && is_domain(domain)
        && line
            .mappings
            .match_message("netlogon.log", text, line.bytes, line.receipt, |_, _| ())
            .is_none()
    {
        flat.push("windows.netlogon.domain", domain);
        text = after;
    }
    flat.push("windows.netlogon.text", text);
    line.mappings.match_message("netlogon.log", text, line.bytes, line.receipt, |name, value| {
        if !value.is_empty() {
            flat.push(name, value);
        }
    });
    Some(Found { dataset: "windows.netlogon", time: Some(time) })
}

fn is_domain(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= 64 && text.bytes().all(letter)
}

/// The English name of the month, which other readers of times know.
fn month(tens: u8, ones: u8) -> Option<&'static str> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = usize::from(tens.checked_sub(b'0')?) * 10 + usize::from(ones.checked_sub(b'0')?);
    MONTHS.get(number.checked_sub(1)?).copied()
}
