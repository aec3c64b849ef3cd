//! A question as a link that gives the same rows whenever it is opened.

use crate::rows::zone_of;
use crate::{Node, NodeError, SearchQuery, SortOrder};
use yagura_event::UtcMicros;

impl Node {
    /// The question as of now, if it can be asked.
    ///
    /// # Errors
    /// [`NodeError::Request`], when its expression, a time or the zone cannot be understood.
    pub fn permalink(&self, asked: &SearchQuery) -> Result<SearchQuery, NodeError> {
        self.understood(asked)?;
        asked.fixed_at(self.clock().now())
    }
}

impl SearchQuery {
    /// The same question as of `now`: its times are absolute, `now` in its expression means this instant,
    /// and what is received later does not count. So it has the same answer later, as long as its events
    /// are kept.
    ///
    /// # Errors
    /// [`NodeError::Request`], when a time or the zone cannot be understood.
    pub fn fixed_at(&self, now: UtcMicros) -> Result<SearchQuery, NodeError> {
        let zone = zone_of(self.time_zone.as_deref())?;
        let instant = |text: &str| {
            yagura_query::parse_instant(text, now, &zone).map(|(at, _)| at).ok_or_else(|| {
                NodeError::request(
                    format!("{text:?} is no instant: write 2026-11-21T09:00:00Z or now-15m"),
                    format!("{text:?} は時刻として読めません（例: 2026-11-21T09:00:00Z、now-15m）"),
                )
            })
        };
        let last = self.last.as_ref().map(|span| format!("now-{}", span.trim_start_matches('-')));
        let from = last.as_ref().or(self.from.as_ref());
        let fixed = |text: Option<&String>| -> Result<_, NodeError> {
            Ok(text.map(|text| instant(text)).transpose()?.map(|at| at.to_string()))
        };
        Ok(SearchQuery {
            from: fixed(from)?,
            to: fixed(self.to.as_ref())?,
            last: None,
            as_of: Some(self.as_of.clone().unwrap_or_else(|| now.to_string())),
            id: None,
            ..self.clone()
        })
    }

    /// Its names and values in the address of the page, with the columns to show.
    pub fn address(&self, columns: &[String]) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("query", self.query.clone())];
        let times = [
            ("from", &self.from),
            ("to", &self.to),
            ("last", &self.last),
            ("time_zone", &self.time_zone),
            ("as_of", &self.as_of),
        ];
        pairs.extend(times.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        if self.sort == SortOrder::Oldest {
            pairs.push(("sort", "oldest".to_owned()));
        }
        if !columns.is_empty() {
            pairs.push(("columns", columns.join(",")));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> UtcMicros {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn relative_times_become_absolute_and_absolute_ones_stay() {
        let asked = SearchQuery {
            query: "@timestamp:>now-5m".into(),
            last: Some("24h".into()),
            time_zone: Some("Asia/Tokyo".into()),
            sort: SortOrder::Oldest,
            ..SearchQuery::default()
        };
        let fixed = asked.fixed_at(now()).unwrap();
        let columns = ["user.name".to_owned(), "source.ip".to_owned()];
        assert_eq!(
            fixed.address(&columns),
            [
                ("query", "@timestamp:>now-5m"),
                ("from", "2026-11-20T12:00:00.000000Z"),
                ("time_zone", "Asia/Tokyo"),
                ("as_of", "2026-11-21T12:00:00.000000Z"),
                ("sort", "oldest"),
                ("columns", "user.name,source.ip"),
            ]
            .map(|(name, value)| (name, value.to_owned()))
        );
        // A link of a link is the link.
        let later = now().plus_micros(3_600_000_000);
        assert_eq!(fixed.fixed_at(later).unwrap().address(&columns), fixed.address(&columns));
        let local = SearchQuery { from: Some("2026-11-21".into()), last: None, ..asked };
        let fixed = local.fixed_at(now()).unwrap();
        assert_eq!(fixed.from.as_deref(), Some("2026-11-20T15:00:00.000000Z"), "midnight in Tokyo");
        let wrong = SearchQuery { to: Some("soon".into()), ..SearchQuery::default() };
        assert!(wrong.fixed_at(now()).is_err());
    }
}
