//! VPC flow logs of AWS: values separated by blanks, in the order of a header line or, where there
//! is none, in that of version 2 (Amazon VPC User Guide, "Flow log records").

use super::{Found, Line};
use crate::context::StreamContext;
use crate::flat::Flat;
use crate::time;
use std::net::IpAddr;

const DATASET: &str = "cloud.aws_vpcflow";

/// The fields of version 2, in the order of the default format.
const DEFAULT: [&str; 14] = [
    "version",
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "srcport",
    "dstport",
    "protocol",
    "packets",
    "bytes",
    "start",
    "end",
    "action",
    "log-status",
];

/// The fields that versions 3 to 8 added.
const FURTHER: [&str; 27] = [
    "vpc-id",
    "subnet-id",
    "instance-id",
    "tcp-flags",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "region",
    "az-id",
    "sublocation-type",
    "sublocation-id",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "flow-direction",
    "traffic-path",
    "ecs-cluster-arn",
    "ecs-cluster-name",
    "ecs-container-instance-arn",
    "ecs-container-instance-id",
    "ecs-container-id",
    "ecs-second-container-id",
    "ecs-service-name",
    "ecs-task-definition-arn",
    "ecs-task-arn",
    "ecs-task-id",
    "reject-reason",
    "encryption-status",
];

/// Most columns a header may name: each at most twice.
const COLUMNS_MAX: usize = 2 * (DEFAULT.len() + FURTHER.len());

/// What the header of a stream's file said: the columns in their order.
#[derive(Debug, Default)]
pub(crate) struct Layout(Vec<&'static str>);

/// Reads a header or a record.
pub(crate) fn read(line: &Line<'_>, context: &mut StreamContext, flat: &mut Flat) -> Option<Found> {
    let text = line.text;
    match text.as_bytes().first()? {
        b'a'..=b'z' => header(text, context, flat).or_else(|| record(text, context, flat)),
        b'0'..=b'9' | b'-' | b'A'..=b'F' => record(text, context, flat),
        _ => None,
    }
}

fn header(text: &str, context: &mut StreamContext, flat: &mut Flat) -> Option<Found> {
    let known = |word: &str| DEFAULT.iter().chain(&FURTHER).copied().find(|known| *known == word);
    let mut columns = Vec::new();
    for word in text.split(' ') {
        if columns.len() >= COLUMNS_MAX {
            return None;
        }
        columns.push(known(word)?);
    }
    if columns.len() < 3 {
        return None;
    }
    context.vpcflow = Some(Box::new(Layout(columns)));
    flat.push("yagura.layout", text);
    Some(Found { dataset: DATASET, time: None })
}

fn record(text: &str, context: &StreamContext, flat: &mut Flat) -> Option<Found> {
    if let Some(layout) = &context.vpcflow
        && let Some(found) = columns(text, &layout.0, flat)
    {
        return Some(found);
    }
    let plain = text.starts_with("2 ") && text.contains(" eni-");
    plain.then(|| columns(text, &DEFAULT, flat)).flatten()
}

fn columns(text: &str, layout: &[&str], flat: &mut Flat) -> Option<Found> {
    let count = memchr::memchr_iter(b' ', text.as_bytes()).count() + 1;
    let pairs = || layout.iter().zip(text.split(' '));
    if count != layout.len() || !pairs().all(|(column, value)| fits(column, value)) {
        return None;
    }
    let mut at = None;
    for (column, value) in pairs() {
        if value == "-" {
            continue;
        }
        match *column {
            "start" => at = time::epoch(value).or(at),
            "end" if at.is_none() => at = time::epoch(value),
            _ => {}
        }
        flat.push(column, value);
    }
    Some(Found { dataset: DATASET, time: at })
}

/// Whether `value` may stand in `column`.
fn fits(column: &str, value: &str) -> bool {
    let number = || !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value == "-"
        || match column {
            "version" | "srcport" | "dstport" | "protocol" | "packets" | "bytes" | "start"
            | "end" | "tcp-flags" | "traffic-path" => number(),
            "srcaddr" | "dstaddr" | "pkt-srcaddr" | "pkt-dstaddr" => {
                value.parse::<IpAddr>().is_ok()
            }
            "action" => matches!(value, "ACCEPT" | "REJECT"),
            "log-status" => matches!(value, "OK" | "NODATA" | "SKIPDATA"),
            _ => !value.is_empty(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content;
    use crate::mapping::Mappings;
    use crate::pattern::Receipt;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use std::sync::OnceLock;
    use yagura_event::{FieldDictionary, Origin, StreamName, Transport, UtcMicros};

    fn lines(texts: &[&str]) -> Vec<Option<Vec<String>>> {
        static MAPPINGS: OnceLock<Mappings> = OnceLock::new();
        let mappings = MAPPINGS.get_or_init(|| {
            let fields = FieldDictionary::from_files(content::FIELDS.iter().copied()).unwrap();
            Mappings::layered(content::MAPPINGS, &[], &fields).unwrap()
        });
        let stream = StreamName::new("flow").unwrap();
        let mut context = StreamContext::default();
        let mut all = Vec::new();
        for text in texts {
            let origin = Origin {
                stream: &stream,
                batch: 1,
                index: 0,
                batch_salt: &[0; 32],
                received: UtcMicros::default(),
                transport: Transport::File,
                peer: "flow.log",
                identity: "none",
            };
            let receipt = Receipt { received: origin.received, zone: &TimeZone::UTC };
            let bytes = &crate::byte_set::ByteSet::of(text);
            let line = Line { text, bytes, header: None, origin: &origin, receipt, mappings };
            let mut flat = Flat::default();
            all.push(read(&line, &mut context, &mut flat).map(|found| {
                let entries = (0..flat.len()).filter_map(|number| flat.entry(number));
                let mut fields: Vec<_> = entries
                    .map(|e| format!("{}={}", flat.names.text(e.name), flat.get(e.value)))
                    .collect();
                fields.extend(found.time.map(|time| format!("at {time}")));
                fields
            }));
        }
        all
    }

    #[test]
    fn a_header_says_what_the_columns_are() {
        let found = lines(&[
            "region srcaddr dstaddr dstport action start",
            "ap-northeast-1 192.0.2.7 - 443 REJECT 1795223600",
            "2 111122223333 eni-0a1 192.0.2.7 198.51.100.9 50000 22 6 20 4249 1795223600 1795223660 ACCEPT OK",
            "2 111122223333 eni-0a1 - - - - - - - 1795223600 1795223660 - NODATA",
            "region srcaddr of the",
            "Accepted one two three four five",
            "2 111122223333 eni-0a1 192.0.2.7 x 50000 22 6 20 4249 1795223600 1795223660 ACCEPT OK",
        ]);
        let fields = |number: usize| found[number].as_deref().map(|fields| fields.join(" "));
        assert_eq!(fields(0).unwrap(), "yagura.layout=region srcaddr dstaddr dstport action start");
        assert_eq!(
            fields(1).unwrap(),
            "region=ap-northeast-1 srcaddr=192.0.2.7 dstport=443 action=REJECT start=1795223600 at 2026-11-21T01:13:20.000000Z"
        );
        assert!(fields(2).unwrap().contains("interface-id=eni-0a1 srcaddr=192.0.2.7"));
        assert!(fields(3).unwrap().ends_with("log-status=NODATA at 2026-11-21T01:13:20.000000Z"));
        assert_eq!((fields(4), fields(5), fields(6)), (None, None, None));
    }

    #[test]
    fn columns_are_bounded() {
        let header = |count: usize| vec!["bytes"; count].join(" ");
        let (most, more) = (header(COLUMNS_MAX), header(COLUMNS_MAX + 1));
        let found = lines(&[&most, &more]);
        assert!(found[0].is_some() && found[1].is_none());
    }

    proptest! {
        #[test]
        fn never_panics(a in "(version|start|action|[ 0-9A-F.:-]){0,8}", b in "[ 0-9a-f.:日-]{0,30}") {
            lines(&["bytes packets type", &a, &b]);
        }
    }
}
