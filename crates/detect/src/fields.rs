//! Fields that rules ask for and events do not have: most likely typing mistakes.

use crate::item::Atom;
use crate::logsource::LogSources;
use crate::rule::RuleInfo;
use crate::ruleset::{CompiledRule, Ruleset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use yagura_event::FieldDictionary;

/// Events of these datasets have whatever fields their sender gave them.
const OPEN_DATASETS: &str = "json.";

/// Shortest name of which a typing mistake is looked for: one letter makes another word of a shorter
/// one.
const NAME_CHARS_MIN: usize = 5;

/// A field that a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownField {
    /// The rule.
    pub rule: Arc<RuleInfo>,
    /// The field, as the rule writes it.
    pub field: String,
    /// A known field that is called nearly so.
    pub meant: Option<String>,
}

impl Ruleset {
    /// Fields that rules ask for although nothing is known to be called so in the events of their log
    /// sources: neither a field of the dictionary, nor a name that Sigma has for one. Where events may
    /// have fields of their own (those of Windows programs, and JSON of whoever sends it) only names
    /// that differ from a known one by a letter, or by upper and lower case.
    pub fn unknown_fields(&self, sources: &LogSources) -> Vec<UnknownField> {
        let datasets = sources.datasets();
        let mut found = Vec::new();
        let mut judged: BTreeMap<(Vec<&str>, Arc<str>), Verdict> = BTreeMap::new();
        for rule in self.compiled_rules() {
            let covered = |dataset: &&&str| rule.clauses.iter().any(|one| one.covers(dataset));
            let datasets: Vec<&str> = datasets.iter().filter(covered).copied().collect();
            if datasets.is_empty() {
                continue;
            }
            for field in self.fields_of(rule) {
                let verdict = judged.entry((datasets.clone(), field.clone()));
                let verdict =
                    verdict.or_insert_with(|| judge(self.dictionary(), &datasets, &field));
                if let Some(meant) = verdict.clone() {
                    let field = field.to_string();
                    found.push(UnknownField { rule: rule.info.clone(), field, meant });
                }
            }
        }
        found
    }

    /// Fields that the rules which `wanted` names ask for, as the rules write them.
    pub fn fields_asked(&self, wanted: impl Fn(&RuleInfo) -> bool) -> BTreeSet<Arc<str>> {
        let rules = self.compiled_rules().iter().filter(|rule| wanted(&rule.info));
        rules.flat_map(|rule| self.fields_of(rule)).collect()
    }

    fn fields_of(&self, rule: &CompiledRule) -> BTreeSet<Arc<str>> {
        let mut fields: BTreeSet<Arc<str>> = BTreeSet::new();
        rule.expression.each_atom(&mut |id| match self.atom_table().atoms.get(id as usize) {
            Some(Atom::Value { field, .. }) => fields.extend(field.clone()),
            Some(Atom::Fields { field, other, .. }) => {
                fields.extend([field.clone(), other.clone()]);
            }
            None => {}
        });
        fields
    }
}

/// `None` where the field may be there; else the known one that is called nearly so.
type Verdict = Option<Option<String>>;

fn judge(dictionary: &FieldDictionary, datasets: &[&str], field: &str) -> Verdict {
    if dictionary.field(field).is_some() {
        return None;
    }
    let concerns = |table: &str| {
        table == "*"
            || datasets
                .iter()
                .any(|set| *set == table || (table.ends_with('.') && set.starts_with(table)))
    };
    let tables = || dictionary.sigma_names().filter(|(table, _)| concerns(table));
    if tables().any(|(_, names)| names.contains_key(field)) {
        return None;
    }
    // What is nearly called like a field of whatever source most likely means it. But `Query` and
    // `query` of different sources are two fields, and so is what another source calls exactly so.
    let everywhere = || dictionary.sigma_names().map(|(_, names)| names);
    let respelt = tables().flat_map(|(_, names)| names.keys());
    let respelt = respelt.filter(|name| name.to_lowercase() == field.to_lowercase());
    let nearly = everywhere().flat_map(|names| names.keys());
    let nearly = nearly.filter(|name| is_nearly(name, field));
    let meant = match everywhere().any(|names| names.contains_key(field)) {
        true => None,
        false => respelt.chain(nearly).min().cloned(),
    };
    let is_open =
        |set: &&str| set.starts_with(OPEN_DATASETS) || dictionary.native_prefix(set).is_some();
    match meant {
        None if datasets.iter().any(is_open) => None,
        meant => Some(meant),
    }
}

/// Whether one letter was left out, put in, changed or taken with its neighbour, whatever the case.
fn is_nearly(name: &str, other: &str) -> bool {
    let fold = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (a, b) = (fold(name), fold(other));
    let (a, b) = (a.as_slice(), b.as_slice());
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.len() < NAME_CHARS_MIN || long.len() - short.len() > 1 {
        return false;
    }
    let same = short.iter().zip(long.iter()).take_while(|(a, b)| a == b).count();
    let letter = |text: &[char]| text.get(same).is_some_and(|letter| letter.is_alphabetic());
    if short.len() < long.len() {
        return letter(long) && rest(short, same) == rest(long, same + 1);
    }
    let swapped = short.get(same) == long.get(same + 1)
        && short.get(same + 1) == long.get(same)
        && rest(short, same + 2) == rest(long, same + 2);
    letter(short) && letter(long) && (swapped || rest(short, same + 1) == rest(long, same + 1))
}

fn rest(text: &[char], from: usize) -> &[char] {
    text.get(from..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_by_a_letter_are_nearly_the_same() {
        for other in ["Comandline", "CommandLines", "ComandLine", "CommnadLine", "CommandLane"] {
            assert!(is_nearly("CommandLine", other), "{other}");
        }
        for other in ["CommandList", "ParentCommandLine", "Command", ""] {
            assert!(!is_nearly("CommandLine", other), "{other}");
        }
        assert!(!is_nearly("Image", "Imge") && !is_nearly("ProcessName", "Process_Name"));
        assert!(!is_nearly("User", "Use"));
    }

    #[test]
    fn fields_are_known_where_events_may_have_them() {
        let dictionary = "[[field]]\nname='user.name'\nja='u'\nen='u'\n\
             [sigma.'windows.']\nCommandLine='process.command_line'\n\
             [sigma.'linux.auth']\nUserName='user.name'\n\
             [native]\n'windows.'='winlog.event_data.'\n";
        let dictionary = Arc::new(FieldDictionary::from_toml(dictionary).unwrap());
        let sources = "[[source]]\nproduct = 'windows'\nwhere = [{ dataset = 'windows.sysmon' }]\n\
             [[source]]\nproduct = 'linux'\nwhere = [{ dataset = 'linux.auth' }]\n\
             [[source]]\nproduct = 'cloud'\nwhere = [{ dataset = 'json.generic' }]\n";
        let sources = LogSources::from_toml(sources).unwrap();
        let unknown = |product: &str, field: &str| {
            let text = format!(
                "title: t\nid: x\nlogsource: {{product: {product}}}\n\
                 detection: {{s: {{{field}: y}}, condition: s}}\n"
            );
            let file = crate::RuleFile { path: "x.yml".to_owned(), text };
            let (ruleset, _) = Ruleset::compile(&[file], dictionary.clone(), &sources);
            assert_eq!(ruleset.rules().len(), 1);
            let found = ruleset.unknown_fields(&sources);
            found.into_iter().map(|one| (one.field, one.meant.unwrap_or_default())).next()
        };
        let meant = |field: &str, meant: &str| Some((field.to_owned(), meant.to_owned()));
        assert_eq!(unknown("windows", "CommandLine"), None);
        assert_eq!(unknown("windows", "TheirOwn"), None);
        assert_eq!(unknown("windows", "Comandline"), meant("Comandline", "CommandLine"));
        assert_eq!(unknown("windows", "UserNane"), meant("UserNane", "UserName"));
        assert_eq!(unknown("windows", "username"), None);
        assert_eq!(unknown("linux", "user.name"), None);
        assert_eq!(unknown("linux", "UserName"), None);
        assert_eq!(unknown("linux", "username"), meant("username", "UserName"));
        assert_eq!(unknown("linux", "CommandLine"), meant("CommandLine", ""));
        assert_eq!(unknown("cloud", "whatever"), None);
    }
}
