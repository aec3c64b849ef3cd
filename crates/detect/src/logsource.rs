use crate::limits::GATE_FIELDS_MAX;
use rsigma_parser::LogSource;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// Which events a Sigma log source (category, product, service) means: `content/logsources.toml`.
///
/// ```
/// let sources = yagura_detect::LogSources::from_toml(r#"
///     [[source]]
///     product = "windows"
///     category = "process_creation"
///     where = [
///         { dataset = "windows.sysmon", fields = { EventID = ["1"] } },
///         { dataset = "windows.security", fields = { EventID = ["4688"] } },
///     ]
/// "#).unwrap();
/// let clauses = sources.clauses(Some("process_creation"), Some("windows"), None).unwrap();
/// assert_eq!(clauses.len(), 2);
/// assert!(sources.clauses(Some("process_creation"), Some("vms"), None).is_err());
/// ```
#[derive(Debug, Clone, Default)]
pub struct LogSources {
    sources: Vec<Source>,
}

/// Events of one dataset whose fields have one of the values named.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// A dataset; a name that ends in `.` covers every dataset that begins so, `*` covers all.
    pub dataset: String,
    /// Sigma field name to the values of which the event must have one, whatever their case.
    #[serde(default)]
    pub fields: BTreeMap<String, Vec<String>>,
}

impl Clause {
    /// Whether the clause speaks of events of `dataset`.
    pub fn covers(&self, dataset: &str) -> bool {
        self.dataset == "*"
            || self.dataset == dataset
            || (self.dataset.ends_with('.') && dataset.starts_with(&self.dataset))
    }
}

/// Log sources that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogSourceError {
    /// Not the TOML we expect; the message names line and column.
    #[error("log sources: {0}")]
    Syntax(#[from] toml::de::Error),
    /// An entry that names nothing or leads nowhere.
    #[error("log sources: entry {number} ({name}): {reason}")]
    Entry {
        /// Number of the entry, from 1.
        number: usize,
        /// Its log source, as `category/product/service` with `-` for what is not set.
        name: String,
        /// What is wrong and what to do.
        reason: &'static str,
    },
    /// Conditions on too many different fields.
    #[error("log sources set conditions on {0} different fields; use at most {GATE_FIELDS_MAX}")]
    Fields(usize),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    source: Vec<Source>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    category: Option<String>,
    product: Option<String>,
    service: Option<String>,
    #[serde(rename = "where")]
    clauses: Vec<Clause>,
}

impl LogSources {
    /// Reads the mapping.
    pub fn from_toml(text: &str) -> Result<Self, LogSourceError> {
        let sources = toml::from_str::<File>(text)?.source;
        let mut seen = BTreeSet::new();
        for (index, source) in sources.iter().enumerate() {
            let reason = if source.keys() == 0 {
                "set category, product or service"
            } else if source.clauses.is_empty() {
                "name at least one dataset under `where`"
            } else if source.clauses.iter().any(|clause| clause.dataset.is_empty()) {
                "a dataset has no name"
            } else if !seen.insert(source.name()) {
                "is listed twice: merge the entries"
            } else {
                continue;
            };
            return Err(LogSourceError::Entry { number: index + 1, name: source.name(), reason });
        }
        let clauses = sources.iter().flat_map(|source| &source.clauses);
        let fields: BTreeSet<_> = clauses.flat_map(|clause| clause.fields.keys()).collect();
        if fields.len() > GATE_FIELDS_MAX {
            return Err(LogSourceError::Fields(fields.len()));
        }
        Ok(LogSources { sources })
    }

    /// The events a log source means; several clauses are alternatives.
    ///
    /// Entries apply whose parts all equal the log source's. The most specific ones count, and
    /// together they must account for every part of it; where a category and a service are mapped
    /// apart, the event must satisfy both. The error says what is not mapped.
    pub fn clauses(
        &self,
        category: Option<&str>,
        product: Option<&str>,
        service: Option<&str>,
    ) -> Result<Vec<Clause>, String> {
        let wanted = [category, product, service];
        let name = name_of(wanted);
        let applies = |source: &&Source| {
            source.parts().iter().zip(&wanted).all(|(part, wanted)| match (part, wanted) {
                (None, _) => true,
                (Some(part), Some(wanted)) => part.eq_ignore_ascii_case(wanted),
                (Some(_), None) => false,
            })
        };
        let applying: Vec<&Source> = self.sources.iter().filter(applies).collect();
        let most = applying.iter().map(|source| source.keys()).max().unwrap_or(0);
        let best: Vec<&Source> = applying.into_iter().filter(|s| s.keys() == most).collect();
        let covered = (0..wanted.len()).all(|part| {
            wanted[part].is_none() || best.iter().any(|source| source.parts()[part].is_some())
        });
        let Some((first, others)) = best.split_first().filter(|_| covered) else {
            return Err(format!(
                "no events are mapped to its log source {name}: add it to logsources.toml"
            ));
        };
        let mut clauses = first.clauses.clone();
        for other in others {
            clauses = both(&clauses, &other.clauses);
        }
        match clauses.is_empty() {
            true => Err(format!("no event can be of log source {name}: its parts exclude another")),
            false => Ok(clauses),
        }
    }

    /// The events `logsource` means; refuses log sources with parts of their own.
    pub(crate) fn clauses_of(&self, logsource: &LogSource) -> Result<Vec<Clause>, String> {
        if let Some(part) = logsource.custom.keys().min() {
            return Err(format!("unknown part {part:?} of its log source"));
        }
        let part = |part: &'_ Option<String>| part.clone().filter(|text| !text.is_empty());
        let (category, product) = (part(&logsource.category), part(&logsource.product));
        let service = part(&logsource.service);
        if category.is_none() && product.is_none() && service.is_none() {
            return Err("it has no log source: set category, product or service".into());
        }
        self.clauses(category.as_deref(), product.as_deref(), service.as_deref())
    }

    /// Names of all datasets that some entry names exactly.
    pub(crate) fn datasets(&self) -> BTreeSet<&str> {
        let clauses = self.sources.iter().flat_map(|source| &source.clauses);
        let names = clauses.map(|clause| clause.dataset.as_str());
        names.filter(|name| *name != "*" && !name.ends_with('.')).collect()
    }
}

impl Source {
    fn parts(&self) -> [Option<&str>; 3] {
        [self.category.as_deref(), self.product.as_deref(), self.service.as_deref()]
    }

    fn keys(&self) -> usize {
        self.parts().iter().flatten().count()
    }

    fn name(&self) -> String {
        name_of(self.parts())
    }
}

fn name_of(parts: [Option<&str>; 3]) -> String {
    parts.map(|part| part.unwrap_or("-")).join("/").to_lowercase()
}

/// Clauses for events that satisfy one of `left` and one of `right`.
fn both(left: &[Clause], right: &[Clause]) -> Vec<Clause> {
    let mut clauses = Vec::new();
    for a in left {
        for b in right {
            let dataset = match () {
                () if b.covers(&a.dataset) => &a.dataset,
                () if a.covers(&b.dataset) => &b.dataset,
                () => continue,
            };
            let mut fields = a.fields.clone();
            let mut possible = true;
            for (field, values) in &b.fields {
                let merged = fields.entry(field.clone()).or_insert_with(|| values.clone());
                merged.retain(|value| values.iter().any(|other| other.eq_ignore_ascii_case(value)));
                possible &= !merged.is_empty();
            }
            if possible {
                clauses.push(Clause { dataset: dataset.clone(), fields });
            }
        }
    }
    clauses
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[source]]
        product = "windows"
        where = [{ dataset = "windows." }]
        [[source]]
        product = "windows"
        service = "sysmon"
        where = [{ dataset = "windows.sysmon" }]
        [[source]]
        product = "windows"
        category = "process_creation"
        where = [
            { dataset = "windows.sysmon", fields = { EventID = ["1"] } },
            { dataset = "windows.security", fields = { EventID = ["4688"] } },
        ]
    "#;

    #[test]
    fn every_part_of_a_log_source_counts() {
        let sources = LogSources::from_toml(TEXT).unwrap();
        let count = |category, product, service| {
            sources.clauses(category, product, service).map(|clauses| clauses.len())
        };
        assert_eq!(count(None, Some("Windows"), None), Ok(1));
        assert_eq!(count(Some("process_creation"), Some("windows"), None), Ok(2));
        assert_eq!(count(Some("process_creation"), Some("windows"), Some("sysmon")), Ok(1));
        let unknown = count(None, Some("windows"), Some("dhcp")).unwrap_err();
        assert!(unknown.contains("-/windows/dhcp"), "{unknown}");
        assert!(count(Some("process_creation"), None, None).is_err());
        assert!(count(Some("process_creation"), Some("windows"), Some("dhcp")).is_err());
    }

    #[test]
    fn a_bad_entry_is_named() {
        let error = |text: &str| LogSources::from_toml(text).unwrap_err().to_string();
        assert!(error("[[source]]\nproduct='a'\nwhere=[]\n").contains("entry 1 (-/a/-)"));
        let twice = "[[source]]\nproduct='a'\nwhere=[{dataset='b'}]\n".repeat(2);
        assert!(error(&twice).contains("entry 2 (-/a/-): is listed twice"));
        assert!(error("[[source]]\nproduct='a'\ncolour='b'\nwhere=[]\n").contains("colour"));
        let fields = |count: usize| {
            let fields: Vec<_> = (0..count).map(|n| format!("f{n} = ['x']")).collect();
            let fields = fields.join(", ");
            format!("[[source]]\nproduct='a'\nwhere=[{{dataset='b', fields={{ {fields} }} }}]\n")
        };
        assert!(LogSources::from_toml(&fields(GATE_FIELDS_MAX)).is_ok());
        assert!(LogSources::from_toml(&fields(GATE_FIELDS_MAX + 1)).is_err());
    }
}
