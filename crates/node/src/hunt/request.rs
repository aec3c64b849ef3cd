//! What may be asked of the hunter.

use super::limits::{FILES_PER_REQUEST_MAX, HYPOTHESIS_BYTES_MAX};
use super::record::SourceCopy;
use crate::{NodeError, rules};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use yagura_detect::{Refusal, RuleFile, RuleInfo, Ruleset};
use yagura_event::UtcMicros;
use yagura_hunt::{Indicator, Kind, Matcher, ReadOptions, Reading, Said, Tlp};

/// A file as its reader sent it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HuntFile {
    /// Its name, for people.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// A hunt that someone asks for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HuntRequest {
    /// What they want to know.
    pub hypothesis: String,
    /// Sigma rule files.
    pub rules: Vec<HuntFile>,
    /// Ids of rules that are loaded here; `all` for every one.
    pub rule_ids: Vec<String>,
    /// Lists of indicators.
    pub indicators: Vec<HuntFile>,
    /// Whether the indicators in use are hunted.
    pub stored_indicators: bool,
    /// Whether expired indicators are looked for too.
    pub expired: bool,
    /// Only events from this instant on.
    pub from: Option<String>,
    /// Only events before this instant.
    pub to: Option<String>,
    /// Only the last so many minutes, hours or days, such as `30d`.
    pub last: Option<String>,
    /// Whether matches become alerts.
    pub raise: bool,
}

/// Indicators to take into use.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndicatorRequest {
    /// The lists.
    pub files: Vec<HuntFile>,
    /// Name of their source; each file's own name by default.
    pub source: Option<String>,
    /// Kind of values whose kind a list does not say.
    pub kind: Option<Kind>,
    /// Expiry of indicators that name none.
    pub valid_until: Option<UtcMicros>,
    /// TLP of indicators that name none.
    pub tlp: Option<Tlp>,
    /// Confidence of indicators that name none, 0 to 100.
    pub confidence: Option<u8>,
    /// Whether values that every network has are taken too.
    pub keep_benign: bool,
    /// Whether what they are found in, hunted backwards, becomes alerts.
    pub raise: bool,
}

/// A request made ready: what is looked for.
pub(crate) struct Quarry {
    pub ruleset: Option<Arc<Ruleset>>,
    /// Which of the loaded rules were asked for by their ids.
    chosen: Option<Chosen>,
    pub matcher: Option<Arc<Matcher>>,
    pub sources: Vec<SourceCopy>,
    pub digest: String,
    pub refused: Vec<String>,
    pub refused_total: u64,
    /// Indicators about which there is a doubt.
    pub doubts: Vec<Said>,
}

/// Loaded rules that were asked for by their ids. Files hold further rules, and those that a correlation
/// counts; of these nothing is told.
#[derive(Default)]
struct Chosen {
    ids: HashSet<String>,
    /// Those, and the rules and correlations that they count.
    needed: HashSet<String>,
    /// The files that they and what they count are in.
    paths: BTreeSet<Arc<str>>,
}

/// Sources that a hunt's record names; the digest covers all.
const SOURCES_NAMED_MAX: usize = 1_000;

impl Quarry {
    pub fn of_indicators(
        indicators: Vec<Arc<Indicator>>,
        sources: Vec<SourceCopy>,
    ) -> Result<Quarry, NodeError> {
        let matcher = Matcher::new(indicators).map_err(asked_too_much)?;
        let digest = digest_of_sources(&sources);
        Ok(Quarry {
            ruleset: None,
            chosen: None,
            matcher: Some(Arc::new(matcher)),
            sources,
            digest,
            refused: Vec::new(),
            refused_total: 0,
            doubts: Vec::new(),
        })
    }

    /// Rules and correlations that are looked for.
    pub fn rules(&self) -> u64 {
        let Some(ruleset) = &self.ruleset else { return 0 };
        let all = ruleset.rules().chain(ruleset.correlations());
        all.filter(|rule| self.tells(rule)).count() as u64
    }

    /// Whether matches of a rule are a finding: where it was asked for by its id; else unless it only
    /// serves a correlation, as in the live engine.
    pub fn tells(&self, rule: &RuleInfo) -> bool {
        match &self.chosen {
            Some(chosen) if chosen.paths.contains(&rule.path) => chosen.ids.contains(&rule.id),
            _ => rule.alerts,
        }
    }

    /// Whether what is found depends on a rule or correlation.
    pub fn needs(&self, rule: &RuleInfo) -> bool {
        match &self.chosen {
            Some(chosen) if chosen.paths.contains(&rule.path) => chosen.needed.contains(&rule.id),
            _ => true,
        }
    }

    pub fn indicators(&self) -> u64 {
        self.matcher.as_ref().map_or(0, |matcher| matcher.len() as u64)
    }

    pub fn sources_total(&self) -> u64 {
        self.sources.len() as u64
    }

    pub fn sources_named(&self) -> Vec<SourceCopy> {
        self.sources.iter().take(SOURCES_NAMED_MAX).cloned().collect()
    }
}

fn asked_too_much(error: yagura_hunt::MatcherError) -> NodeError {
    let said = Said::from(error);
    NodeError::request(said.en, said.ja)
}

/// One digest for a set of files.
fn digest_of_sources(sources: &[SourceCopy]) -> String {
    let mut hasher = Sha256::new();
    for source in sources {
        hasher.update(source.name.as_bytes());
        hasher.update([0]);
        hasher.update(source.sha256.as_bytes());
        hasher.update(b"\n");
    }
    hex(&hasher.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where rules and their compiler come from.
pub(crate) trait Rules {
    /// The files of every loaded rule.
    fn loaded(&self) -> Result<Vec<RuleFile>, NodeError>;
    /// Compiles files as the loaded rules are.
    fn compile(&self, files: Vec<RuleFile>) -> Result<(Arc<Ruleset>, Vec<Refusal>), NodeError>;
}

/// In place of an id: every rule that is loaded.
const ALL_RULES: &str = "all";

/// A rule that is asked for and not in use.
fn not_loaded(id: &str, refused: Option<&Refusal>) -> NodeError {
    match refused {
        Some(refusal) => NodeError::request(
            format!("the rule {id} is not in use: {}: {}", refusal.path, refusal.reason),
            format!("ルール {id} は使われていません（{}）: {}", refusal.path, refusal.reason),
        ),
        None => NodeError::NotFound {
            message: format!("no rule with the id {id} is loaded"),
            message_ja: format!("ID が {id} のルールは読み込まれていません"),
        },
    }
}

impl HuntRequest {
    fn check(&self) -> Result<(), NodeError> {
        if self.hypothesis.len() > HYPOTHESIS_BYTES_MAX {
            return Err(NodeError::request(
                format!("the hypothesis is longer than {HYPOTHESIS_BYTES_MAX} bytes"),
                format!("仮説が{HYPOTHESIS_BYTES_MAX}バイトを超えています"),
            ));
        }
        if self.rules.len() + self.indicators.len() > FILES_PER_REQUEST_MAX {
            return Err(NodeError::request(
                format!("more than {FILES_PER_REQUEST_MAX} files in one hunt"),
                format!("1回のハントで扱えるファイルは{FILES_PER_REQUEST_MAX}個までです"),
            ));
        }
        Ok(())
    }

    /// What is to be looked for.
    pub(crate) fn quarry(
        &self,
        rules: &dyn Rules,
        stored: &Arc<Matcher>,
        now: UtcMicros,
    ) -> Result<Quarry, NodeError> {
        self.check()?;
        let mut quarry = Quarry {
            ruleset: None,
            chosen: None,
            matcher: None,
            sources: Vec::new(),
            digest: String::new(),
            refused: Vec::new(),
            refused_total: 0,
            doubts: Vec::new(),
        };
        self.add_rules(rules, &mut quarry)?;
        self.add_indicators(stored, now, &mut quarry)?;
        quarry.digest = digest_of_sources(&quarry.sources);
        if quarry.rules() + quarry.indicators() == 0 {
            let why = quarry.refused.iter().take(20).cloned().collect::<Vec<_>>().join("\n");
            let (mut en, mut ja) = (
                "there is nothing to hunt for: name rules or indicators".to_owned(),
                "ハントするものがありません。ルールか侵害指標を指定してください".to_owned(),
            );
            if !why.is_empty() {
                en = format!("nothing that was named can be hunted for:\n{why}");
                ja = format!("指定されたものはどれもハントに使えません:\n{why}");
            }
            return Err(NodeError::request(en, ja));
        }
        Ok(quarry)
    }

    fn add_rules(&self, rules: &dyn Rules, quarry: &mut Quarry) -> Result<(), NodeError> {
        let mut files: Vec<RuleFile> = Vec::new();
        for file in &self.rules {
            let size = file.text.len() as u64;
            if size > rules::RULE_FILE_BYTES_MAX {
                quarry.refuse(
                    &file.name,
                    &format!("larger than {} bytes", rules::RULE_FILE_BYTES_MAX),
                );
                continue;
            }
            files.push(RuleFile { path: file.name.clone(), text: file.text.clone() });
        }
        if !self.rule_ids.is_empty() {
            let mut loaded = rules.loaded()?;
            let chosen = self.chosen(rules, &loaded)?;
            if !self.rule_ids.iter().any(|id| id == ALL_RULES) {
                loaded.retain(|file| chosen.paths.contains(file.path.as_str()));
                quarry.chosen = Some(chosen);
            }
            files.extend(loaded);
        }
        if files.is_empty() {
            return Ok(());
        }
        for file in &files {
            quarry.sources.push(SourceCopy {
                name: file.path.clone(),
                sha256: hex(&Sha256::digest(file.text.as_bytes())),
            });
        }
        let (ruleset, refused) = rules.compile(files)?;
        for refusal in refused {
            quarry.refuse("", &refusal.to_string());
        }
        if ruleset.rules().len() > 0 {
            quarry.ruleset = Some(ruleset);
        }
        Ok(())
    }

    /// The loaded rules and correlations of the ids that are asked for.
    fn chosen(&self, rules: &dyn Rules, loaded: &[RuleFile]) -> Result<Chosen, NodeError> {
        let mut chosen = Chosen::default();
        let mut asked = self.rule_ids.iter().filter(|id| *id != ALL_RULES).peekable();
        if asked.peek().is_none() {
            return Ok(chosen);
        }
        let (ruleset, refused) = rules.compile(loaded.to_vec())?;
        let known: HashMap<String, &Arc<RuleInfo>> = ruleset
            .rules()
            .chain(ruleset.correlations())
            .map(|rule| (rule.id.to_lowercase(), rule))
            .collect();
        for id in asked {
            let folded = id.trim().to_lowercase();
            let Some(rule) = known.get(&folded) else {
                let of_it = |refusal: &&Refusal| {
                    refusal.rule_id.as_ref().is_some_and(|id| id.to_lowercase() == folded)
                };
                return Err(not_loaded(id, refused.iter().find(of_it)));
            };
            if !rule.alerts && ruleset.correlations().any(|one| Arc::ptr_eq(one, rule)) {
                return Err(NodeError::request(
                    format!("{id} only serves the correlation in its file: hunt for that one"),
                    format!(
                        "{id} は同じファイルの相関ルールのためだけのものです。そちらの ID を指定してください"
                    ),
                ));
            }
            chosen.ids.insert(rule.id.clone());
            for needed in std::iter::once(*rule).chain(ruleset.counted_by(&rule.id)) {
                chosen.needed.insert(needed.id.clone());
                chosen.paths.insert(needed.path.clone());
                chosen.paths.extend(needed.filters.iter().map(|filter| filter.path.clone()));
            }
        }
        Ok(chosen)
    }

    fn add_indicators(
        &self,
        stored: &Arc<Matcher>,
        now: UtcMicros,
        quarry: &mut Quarry,
    ) -> Result<(), NodeError> {
        let mut indicators: Vec<Arc<Indicator>> = Vec::new();
        for file in &self.indicators {
            let options = ReadOptions { source: file.name.clone(), ..ReadOptions::default() };
            let reading = read_list(file, &options)?;
            quarry
                .sources
                .push(SourceCopy { name: file.name.clone(), sha256: reading.sha256.clone() });
            for remark in &reading.refused {
                let (place, value, reason) = (&remark.place, &remark.value, &remark.reason);
                quarry.refuse(&file.name, &format!("{place}: {value}: {reason}"));
            }
            quarry.refused_total +=
                reading.refused_total.saturating_sub(reading.refused.len() as u64);
            indicators.extend(reading.indicators.into_iter().map(Arc::new));
        }
        if self.stored_indicators {
            quarry.sources.push(SourceCopy {
                name: "indicators in use".to_owned(),
                sha256: digest_of_indicators(stored.indicators()),
            });
            indicators.extend(stored.indicators().iter().cloned());
        }
        let listed = indicators.len();
        indicators.retain(|one| self.expired || !one.has_expired(now));
        let expired = listed - indicators.len();
        if expired > 0 {
            quarry.refused_total += expired as u64;
            quarry
                .refused
                .push(format!("{expired} indicators have expired; hunt them with --expired"));
        }
        for one in &indicators {
            use yagura_event::Lang::{En, Ja};
            if let (Some(en), Some(ja)) = (one.doubt(En), one.doubt(Ja))
                && quarry.doubts.len() < yagura_hunt::limits::REFUSED_LISTED_MAX
            {
                let (en, ja) = (format!("{}: {en}", one.value), format!("{}: {ja}", one.value));
                quarry.doubts.push(Said { en, ja });
            }
        }
        if !indicators.is_empty() {
            // What expired or begins later is looked for when it was asked for by name.
            let plain =
                indicators.into_iter().map(|one| match one.valid_from.or(one.valid_until) {
                    None => one,
                    Some(_) => Arc::new(Indicator {
                        valid_from: None,
                        valid_until: None,
                        ..(*one).clone()
                    }),
                });
            let matcher = Matcher::new(plain.collect::<Vec<_>>()).map_err(asked_too_much)?;
            quarry.matcher = Some(Arc::new(matcher));
        }
        Ok(())
    }
}

impl Quarry {
    fn refuse(&mut self, name: &str, reason: &str) {
        self.refused_total += 1;
        if self.refused.len() < yagura_hunt::limits::REFUSED_LISTED_MAX {
            let separator = if name.is_empty() { "" } else { ": " };
            self.refused.push(format!("{name}{separator}{reason}"));
        }
    }
}

fn digest_of_indicators(indicators: &[Arc<Indicator>]) -> String {
    let mut hasher = Sha256::new();
    for indicator in indicators {
        hasher.update(indicator.kind.as_str());
        hasher.update([0]);
        hasher.update(indicator.value.as_bytes());
        hasher.update(b"\n");
    }
    hex(&hasher.finalize())
}

/// Reads a list; what is wrong with it as a whole is the caller's fault.
pub(crate) fn read_list(file: &HuntFile, options: &ReadOptions) -> Result<Reading, NodeError> {
    yagura_hunt::read(file.text.as_bytes(), options).map_err(|error| NodeError::Request {
        message: error.said.en,
        message_ja: error.said.ja,
        place: Some(file.name.clone()),
    })
}
