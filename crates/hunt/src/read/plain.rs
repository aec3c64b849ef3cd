//! One value a line. `#` and `//` begin remarks; lines of a hosts file are understood.

use super::{ListFormat, Reading};

pub(super) fn read(text: &str, reading: &mut Reading) {
    reading.format = ListFormat::Plain;
    for (number, line) in (1u64..).zip(text.lines()) {
        let line = line.trim().trim_start_matches(['•', '*', '-']).trim();
        if line.is_empty() || line.starts_with(['#', ';']) || line.starts_with("//") {
            continue;
        }
        let (value, note) = match line.split_once(" #").or_else(|| line.split_once("\t")) {
            Some((value, note)) => (value.trim(), note),
            None => (line.trim_end_matches(','), ""),
        };
        let value = match value.split_once(char::is_whitespace) {
            Some(("0.0.0.0" | "127.0.0.1" | "::", domain)) => domain.trim(),
            _ => value,
        };
        let place = format!("line {number}");
        match reading.indicator(None, value) {
            Ok(indicator) => reading.take(&place, indicator.with_note(note)),
            Err(error) => reading.refuse(&place, value, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::read::{ReadOptions, read};

    #[test]
    fn lines_are_values_with_remarks() {
        let list = "\u{feff}# C2\nhxxps://evil[.]example/gate.php\n203.0.113[.]9 # beacon\n\n// old\n\
                    0.0.0.0 ads.evil.example\nD41D8CD98F00B204E9800998ECF84270\nhello world\n";
        let options = ReadOptions { source: "iocs.txt".into(), ..ReadOptions::default() };
        let reading = read(list.as_bytes(), &options).unwrap();
        let found: Vec<_> =
            reading.indicators.iter().map(|i| format!("{} {}", i.kind, i.value)).collect();
        assert_eq!(
            found,
            [
                "url https://evil.example/gate.php",
                "ip 203.0.113.9",
                "domain ads.evil.example",
                "md5 d41d8cd98f00b204e9800998ecf84270"
            ]
        );
        assert_eq!(reading.indicators[1].note.as_deref(), Some("beacon"));
        assert_eq!((reading.refused_total, &*reading.refused[0].place), (1, "line 8"));
    }
}
