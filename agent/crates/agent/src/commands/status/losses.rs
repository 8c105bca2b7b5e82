//! What was lost, as a table for people.
//!
//! In: the `losses` of `/status`. Out: a line for each pod, destination and reason, the columns aligned; or the word that
//! nothing was lost. Always: what the agent tells is shown, also where it does not know whose it was or how much; records
//! that arrived shorter are told apart from those that are missing.

use hawsepipe_model::LossReason;
use serde::Deserialize;
use serde_json::Value;

/// One sum of the ledger.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Loss {
    namespace: String,
    pod: String,
    destination: Option<String>,
    reason: String,
    records: u64,
    bytes: u64,
    unknown_extent: u64,
    message: Option<String>,
    last: Option<String>,
}

const HEAD: [&str; 6] = ["POD", "DESTINATION", "REASON", "RECORDS", "BYTES", "LAST"];
/// Columns of numbers, which end at one edge.
const NUMBERS: std::ops::Range<usize> = 3..5;

/// The table; `None` when `losses` has another form than this version knows.
pub(super) fn table(losses: &Value) -> Option<String> {
    let losses = Vec::<Loss>::deserialize(losses).ok()?;
    if losses.is_empty() {
        return Some("nothing was lost\n".to_owned());
    }
    let rows: Vec<_> = losses.iter().map(Loss::cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEAD[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
    let mut out = "lost, of what was written since the spool was made:\n".to_owned();
    let head = HEAD.map(str::to_owned);
    let lines = [(&head, String::new())];
    let rows = rows.iter().zip(losses.iter().map(Loss::remark));
    for (cells, remark) in lines.into_iter().chain(rows) {
        let mut line = String::new();
        for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
            let padded = if NUMBERS.contains(&column) {
                format!("  {cell:>width$}")
            } else {
                format!("  {cell:width$}")
            };
            line.push_str(&padded);
        }
        if !remark.is_empty() {
            line.push_str("  ");
            line.push_str(&remark);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    Some(out)
}

impl Loss {
    fn cells(&self) -> [String; HEAD.len()] {
        let pod = match (&self.namespace[..], &self.pod[..]) {
            ("", "") => "(not known)".to_owned(),
            (namespace, "") => format!("{namespace}/(others)"),
            (namespace, pod) => format!("{namespace}/{pod}"),
        };
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        [
            pod,
            or_dash(&self.destination),
            self.reason.clone(),
            self.records.to_string(),
            self.bytes.to_string(),
            self.last.as_deref().map_or_else(|| "-".to_owned(), to_the_second),
        ]
    }

    /// What has no column: what became of the records, losses that cannot be measured, and the destination's words.
    fn remark(&self) -> String {
        let missing = self.records == 0 || LossReason::from_name(&self.reason).is_missing();
        let shorter = (!missing).then(|| "they arrived, shorter by these bytes".to_owned());
        let unknown = match self.unknown_extent {
            0 => None,
            1 => Some("and once nobody knows how much".to_owned()),
            times => Some(format!("and {times} times nobody knows how much")),
        };
        let message = self.message.clone().filter(|message| !message.is_empty());
        shorter.into_iter().chain(unknown).chain(message).collect::<Vec<_>>().join("; ")
    }
}

/// A time without its fraction of a second.
fn to_the_second(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_ledger_says_that_nothing_was_lost() {
        assert_eq!(table(&json!([])).as_deref(), Some("nothing was lost\n"));
    }

    #[test]
    fn losses_stand_in_columns_with_what_is_not_known_and_the_destinations_words() {
        let losses = json!([
            {"namespace": "", "pod": "", "destination": "main", "reason": "partial_success", "records": 2, "bytes": 0,
             "unknownExtent": 0, "message": "too old", "last": "2026-11-24T18:00:00.123456789Z"},
            {"namespace": "shop", "pod": "", "reason": "spool_damage", "records": 0, "bytes": 0, "unknownExtent": 1,
             "last": "2026-11-24T17:00:00Z"},
            {"namespace": "shop", "pod": "cart-1", "destination": null, "reason": "deleted_before_read",
             "records": 12345, "bytes": 678_901_234, "unknownExtent": 2, "message": "", "last": null},
            {"namespace": "shop", "pod": "cart-1", "destination": "main", "reason": "cut", "records": 1, "bytes": 9,
             "unknownExtent": 0, "message": "at most 4 MiB", "last": "2026-11-24T16:00:00Z"},
        ]);
        let expected = "\
lost, of what was written since the spool was made:
  POD            DESTINATION  REASON               RECORDS      BYTES  LAST
  (not known)    main         partial_success            2          0  2026-11-24T18:00:00Z  too old
  shop/(others)  -            spool_damage               0          0  2026-11-24T17:00:00Z  and once nobody knows how much
  shop/cart-1    -            deleted_before_read    12345  678901234  -                     and 2 times nobody knows how much
  shop/cart-1    main         cut                        1          9  2026-11-24T16:00:00Z  they arrived, shorter by these bytes; at most 4 MiB
";
        assert_eq!(table(&losses).unwrap(), expected);
    }

    #[test]
    fn another_form_is_no_table() {
        assert_eq!(table(&json!({"shop": 3})), None);
        assert_eq!(table(&json!([{"records": "many"}])), None);
    }
}
