//! Looks again and again for what cannot be seen: rules that are off, sources that fell silent or changed
//! what they send, fields that never come, detection that lags. What it finds becomes gaps of the desk.

mod fields;
mod lag;
mod silence;
#[cfg(test)]
mod tests;

pub(crate) use fields::FieldWatch;

use crate::{Node, NodeError};
use lag::Lag;
use silence::Silence;
use yagura_desk::{GapKind, GapSeen};
use yagura_detect::Notice;
use yagura_event::{Lang, UtcMicros};

/// What the looks remember from one to the next.
#[derive(Debug, Default)]
pub(crate) struct GapWatch {
    lag: Lag,
    silence: Silence,
    findings_lost: u64,
    looked: Option<UtcMicros>,
    /// When the forecast of the disk was made last.
    forecast: Option<UtcMicros>,
}

/// A correlation that reached a limit counts as limited for this long (microseconds) after.
const LIMITED_MICROS: i64 = 10 * 60 * 1_000_000;

/// Between two forecasts of the disk, in microseconds: each looks at every file of the table.
const FORECAST_MICROS: i64 = 10 * 60 * 1_000_000;

/// Longest that nothing at all may have been recorded before a start, in microseconds, without
/// saying that Yagura was not running. Heartbeats come every five minutes.
const STOPPED_MICROS_MIN: i64 = 15 * 60 * 1_000_000;

impl Node {
    /// Looks for gaps once and records what opened and what ended. Call it every few seconds; blocks.
    ///
    /// # Errors
    /// When the audit log takes nothing; the next look finds the same.
    pub fn look_for_gaps(&self) -> Result<(), NodeError> {
        let mut watch = self.gap_watch();
        let watch = &mut *watch;
        let now = self.clock().now();
        let desk = self.desk();
        desk.expire_exceptions().map_err(not_recorded)?;
        let set = |kind, seen| desk.set_gaps(kind, seen).map(drop).map_err(not_recorded);
        let mut refused = self.refused_rules(now);
        refused.extend(self.lacking_searches(now));
        set(GapKind::RuleRefused, refused)?;
        set(GapKind::RuleDisabled, rules_off(self))?;
        let (committed, read, findings_lost) = self.progress();
        let behind = watch.lag.look(now, committed, read);
        set(GapKind::EngineBehind, behind.into_iter().collect())?;
        let lost = findings_lost > watch.findings_lost;
        let since = watch.looked.unwrap_or(now);
        set(GapKind::FindingsLost, lost.then(|| not_raised(since)).into_iter().collect())?;
        watch.findings_lost = findings_lost;
        let limited = self.correlating().limited_since(now.plus_micros(-LIMITED_MICROS));
        set(GapKind::CorrelationLimit, limited.iter().map(correlation_limit).collect())?;
        set(GapKind::FieldMissing, self.missing_fields())?;
        set(GapKind::ForwardBehind, self.forwarding_behind(now))?;
        let first_look = watch.looked.is_none();
        watch.silence.read(self.logs().0, self.opened_at())?;
        if first_look && let Some(alive) = watch.silence.last_alive_before_start() {
            let end = self.opened_at();
            if end.as_micros() - alive.as_micros() >= STOPPED_MICROS_MIN {
                desk.record_past_gap(GapKind::Stopped, stopped(alive), end)
                    .map_err(not_recorded)?;
            }
        }
        self.record_drift()?;
        set(GapKind::SourceDrifted, self.source_figures().drifted())?;
        let mut silent = watch.silence.silent(now, self.opened_at());
        silent.extend(self.source_figures().silent(now));
        set(GapKind::SourceSilent, silent)?;
        let forecast_due = watch.forecast.is_none_or(|at| {
            now.as_micros().abs_diff(at.as_micros()) >= FORECAST_MICROS.unsigned_abs()
        });
        if forecast_due {
            set(GapKind::DiskFills, self.disk_warnings(now)?)?;
            set(GapKind::DeviceOverwrites, self.overwrite_warnings(now))?;
            watch.forecast = Some(now);
        }
        watch.looked = Some(now);
        Ok(())
    }

    /// What is missing now. An event of the kind may not have come since the start: what was found
    /// missing before stays so until it is seen, or no rule needs it.
    fn missing_fields(&self) -> Vec<GapSeen> {
        let mut missing = self.fields().missing();
        let open = self.desk().gaps().into_iter().filter(|gap| {
            gap.end.is_none()
                && gap.kind == GapKind::FieldMissing
                && self.fields().is_undecided(&gap.subject)
        });
        missing.extend(open.map(|gap| GapSeen {
            subject: gap.subject.clone(),
            begin: gap.begin,
            sentence_ja: gap.sentence_ja.clone(),
            sentence_en: gap.sentence_en.clone(),
        }));
        missing
    }

    fn refused_rules(&self, now: UtcMicros) -> Vec<GapSeen> {
        let report = self.rules();
        let seen = report.refused.iter().map(|refusal| {
            let name = refusal.title.as_ref().or(refusal.rule_id.as_ref());
            let id = refusal.rule_id.as_deref().unwrap_or_default();
            let named = name.unwrap_or(&refusal.path);
            GapSeen {
                subject: format!("{} {id}", refusal.path).trim_end().to_owned(),
                begin: now,
                sentence_ja: format!(
                    "ルール「{named}」（{}）は使われていません。理由：{}",
                    refusal.path, refusal.reason
                ),
                sentence_en: format!(
                    "The rule “{named}” ({}) is not used: {}",
                    refusal.path, refusal.reason
                ),
            }
        });
        seen.collect()
    }
}

fn rules_off(node: &Node) -> Vec<GapSeen> {
    let off = node.desk().rules_off();
    if off.is_empty() {
        return Vec::new();
    }
    let titles: std::collections::HashMap<String, String> = node
        .ruleset()
        .rules()
        .map(|rule| (rule.id.to_ascii_lowercase(), rule.title.clone()))
        .collect();
    let seen = off.iter().map(|exception| {
        let rules = exception
            .rules
            .iter()
            .map(|id| titles.get(&id.to_ascii_lowercase()).cloned().unwrap_or_else(|| id.clone()));
        let tags = exception.tags.iter().map(|tag| format!("#{tag}"));
        let names: Vec<String> = rules.chain(tags).collect();
        let (id, reason, names) = (exception.id, &exception.reason, names.join(", "));
        GapSeen {
            subject: id.to_string(),
            begin: exception.at,
            sentence_ja: format!("例外 {id} により停止中：{names}。理由：{reason}"),
            sentence_en: format!("Switched off by exception {id}: {names}. Reason: {reason}"),
        }
    });
    seen.collect()
}

fn correlation_limit((notice, at): &(Notice, UtcMicros)) -> GapSeen {
    let (title, kind) = (&notice.rule.title, notice.kind);
    GapSeen {
        subject: format!("{} {}", notice.rule.id, kind.as_str()),
        begin: *at,
        sentence_ja: format!("「{title}」：{}", kind.sentence(Lang::Ja)),
        sentence_en: format!("“{title}”: {}", kind.sentence(Lang::En)),
    }
}

fn not_raised(since: UtcMicros) -> GapSeen {
    GapSeen {
        subject: "alerts".to_owned(),
        begin: since,
        sentence_ja: "一致したルールを監査ログに記録できず、アラートになりませんでした。\
                      ディスクの空きとYagura自身のログを確認し、この期間を yagura hunt で調べ直してください。"
            .to_owned(),
        sentence_en: "Matches could not be written to the audit log and raised no alert. Check the \
                      disk and Yagura's own log, and search this period again with yagura hunt."
            .to_owned(),
    }
}

fn stopped(alive: UtcMicros) -> GapSeen {
    GapSeen {
        subject: "yagura".to_owned(),
        begin: alive,
        sentence_ja: "Yagura は動いていませんでした。この間に UDP で送られたログは失われています。"
            .to_owned(),
        sentence_en: "Yagura was not running. What was sent over UDP meanwhile is lost.".to_owned(),
    }
}

fn not_recorded(error: yagura_desk::DeskError) -> NodeError {
    NodeError::NotRecorded(error.to_string())
}
