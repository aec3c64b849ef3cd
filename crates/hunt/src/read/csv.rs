//! CSV with a header. Which column is what is told by its name; one that only remarks precede is
//! understood, as some public lists write it.

use super::{ListFormat, ReadError, Reading, instant};
use crate::{Kind, Said, Tlp};

const VALUES: [&str; 11] = [
    "value",
    "indicator",
    "ioc",
    "ioc_value",
    "observable",
    "indicator_value",
    "threat.indicator.name",
    "dst_ip",
    "dstip",
    "url",
    "domain",
];
const KINDS: [&str; 8] = [
    "type",
    "kind",
    "indicator_type",
    "ioc_type",
    "indicator type",
    "category_type",
    "observable_type",
    "threat.indicator.type",
];
const NOTES: [&str; 8] = [
    "description",
    "comment",
    "note",
    "malware",
    "threat_name",
    "malware_printable",
    "name",
    "threat",
];
const FROM: [&str; 5] = ["valid_from", "first_seen", "first_seen_utc", "dateadded", "start"];
const UNTIL: [&str; 5] = ["valid_until", "expires", "expiration", "valid_to", "expiry"];

/// The header's names, if the text begins with one that names a value.
fn header(text: &str) -> Option<(usize, Vec<String>)> {
    for (number, line) in text.lines().take(64).enumerate() {
        let remark = line.trim_start().starts_with('#');
        let names = line.trim_start_matches('\u{feff}').trim().trim_start_matches('#').trim();
        let names: Vec<String> = names
            .split([',', ';', '\t'])
            .map(|name| name.trim().trim_matches('"').to_lowercase())
            .collect();
        let known = |name: &String| VALUES.contains(&name.as_str()) || name.parse::<Kind>().is_ok();
        if names.len() >= 2 && names.iter().any(known) && names.iter().all(|n| n.len() < 64) {
            return Some((number, names));
        }
        if !remark && !line.trim().is_empty() {
            // A list of one column has a header only if it is a word for a value.
            let only = names.len() == 1 && names.iter().any(|name| VALUES.contains(&name.as_str()));
            return only.then_some((number, names));
        }
    }
    None
}

pub(super) fn is_csv(text: &str) -> bool {
    header(text).is_some()
}

pub(super) fn read(text: &str, reading: &mut Reading) -> Result<(), ReadError> {
    reading.format = ListFormat::Csv;
    let Some((header_line, names)) = header(text) else {
        return Err(ReadError::new("the CSV has no header", "CSV に見出し行がありません"));
    };
    let line = text.lines().nth(header_line).unwrap_or_default();
    let delimiter = [b',', b';', b'\t'].into_iter().find(|d| line.as_bytes().contains(d));
    let column =
        |known: &[&str]| known.iter().find_map(|known| names.iter().position(|name| name == known));
    // A column named after a kind, such as `sha256`, says both.
    let by_kind =
        || names.iter().enumerate().find_map(|(at, name)| Some((at, name.parse::<Kind>().ok()?)));
    let (value_at, implied) = match (column(&VALUES), by_kind()) {
        (Some(at), _) => (at, names.get(at).and_then(|name| name.parse::<Kind>().ok())),
        (None, Some((at, kind))) => (at, Some(kind)),
        (None, None) => {
            return Err(ReadError::new(
                "the CSV has no column \"value\"",
                "CSV に value 列がありません",
            ));
        }
    };
    let kind_at = column(&KINDS);
    let note_at = column(&NOTES).filter(|at| *at != value_at);
    let (from_at, until_at) = (column(&FROM), column(&UNTIL));
    let (tlp_at, confidence_at) =
        (column(&["tlp", "marking"]), column(&["confidence", "confidence_level"]));
    let id_at = column(&["id", "uuid"]);
    let skipped: usize = text.split_inclusive('\n').take(header_line + 1).map(str::len).sum();
    let mut rows = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .delimiter(delimiter.unwrap_or(b','))
        .trim(::csv::Trim::All)
        .from_reader(text.get(skipped..).unwrap_or_default().as_bytes());
    let mut record = ::csv::StringRecord::new();
    loop {
        let line = rows.position().line() + header_line as u64 + 1;
        let place = format!("line {line}");
        match rows.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) => {
                let said = Said::new(error.to_string(), format!("CSV として読めません: {error}"));
                reading.refuse(&place, "", said);
                continue;
            }
        }
        let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default();
        let value = cell(Some(value_at));
        if value.is_empty() {
            continue;
        }
        let named = cell(kind_at);
        let kind = match (named.parse::<Kind>(), implied) {
            (Ok(kind), _) => Some(kind),
            (Err(_), Some(kind)) => Some(kind),
            // `url`, `payload`, `botnet_cc`: words about the threat, not about the form.
            (Err(_), None) => None,
        };
        // `203.0.113.9:443` is how some lists write an address and a port.
        let value = match (named, value.rsplit_once(':')) {
            ("ip:port" | "ip|port", Some((address, _))) => address,
            _ => value,
        };
        match reading.indicator(kind, value) {
            Ok(mut indicator) => {
                indicator.valid_from = instant(cell(from_at));
                indicator.valid_until = instant(cell(until_at));
                indicator.tlp = cell(tlp_at).parse::<Tlp>().ok();
                indicator.confidence = cell(confidence_at).parse().ok();
                let id = cell(id_at);
                indicator.id =
                    (!id.is_empty() && id.len() <= crate::limits::ID_BYTES_MAX).then(|| id.into());
                reading.take(&place, indicator.with_note(cell(note_at)));
            }
            Err(error) => reading.refuse(&place, value, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::read::{ListFormat, ReadOptions, read};
    use crate::{Kind, Tlp};

    fn values(list: &str) -> Vec<String> {
        let reading = read(list.as_bytes(), &ReadOptions::default()).unwrap();
        assert_eq!(reading.format, ListFormat::Csv, "{list}");
        reading.indicators.iter().map(|i| format!("{} {}", i.kind, i.value)).collect()
    }

    #[test]
    fn columns_are_found_by_their_names() {
        let list = "type,value,valid_until,tlp,confidence,comment\n\
                    domain,evil[.]example,2026-12-01,TLP:AMBER,80,\"C2, active\"\n\
                    SHA-256,E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B850,,,,\n\
                    md5,nonsense,,,,\n";
        let reading = read(list.as_bytes(), &ReadOptions::default()).unwrap();
        let first = &reading.indicators[0];
        assert_eq!((first.kind, &*first.value), (Kind::Domain, "evil.example"));
        assert_eq!((first.tlp, first.confidence), (Some(Tlp::Amber), Some(80)));
        assert_eq!(first.note.as_deref(), Some("C2, active"));
        assert_eq!(first.valid_until.unwrap().to_string(), "2026-12-01T00:00:00.000000Z");
        assert_eq!(reading.indicators.len(), 2);
        assert_eq!((&*reading.refused[0].place, reading.refused_total), ("line 4", 1));
    }

    #[test]
    fn lists_of_other_shapes_are_understood() {
        assert_eq!(values("indicator\nevil.example\n"), ["domain evil.example"]);
        assert_eq!(
            values("sha1;name\nDA39A3EE5E6B4B0D3255BFEF95601890AFD80700;x\n"),
            ["sha1 da39a3ee5e6b4b0d3255bfef95601890afd80700"]
        );
        // The header is a remark, every value quoted.
        let list = "################\n# Some list\n# id,dateadded,url,threat\n\"1\",\"2026-11-01 00:00:00\",\"http://evil.example/x\",\"malware_download\"\n";
        assert_eq!(values(list), ["url http://evil.example/x"]);
        let list = "ioc_type,ioc_value\nip:port,203.0.113.9:8443\n";
        assert_eq!(values(list), ["ip 203.0.113.9"]);
    }
}
