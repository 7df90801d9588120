//! The tables of `docs/events-and-metrics.md` and the code name the same events and metrics.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use transport_core::metrics::{METRICS, MetricKind};
use transport_core::{ClientEvent, ServerEvent};

const DOCS: &str = include_str!("../../docs/events-and-metrics.md");

/// The cells of the table under a heading, row by row.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let section = DOCS.split_once(&format!("{heading}\n")).unwrap().1;
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The words between backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn names(heading: &str) -> Vec<&'static str> {
    table(heading).into_iter().map(|row| quoted(row[0])[0]).collect()
}

#[test]
fn the_tables_name_every_event_and_no_other() {
    assert_eq!(names("### Servers (`ServerEvent`)"), ServerEvent::NAMES);
    assert_eq!(names("### Clients (`ClientEvent`)"), ClientEvent::NAMES);
}

#[test]
fn the_table_says_of_every_metric_what_the_code_says() {
    let rows = table("## Metrics");
    assert_eq!(rows.len(), METRICS.len());
    for (row, metric) in rows.iter().zip(METRICS) {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        assert_eq!(
            (quoted(row[0]), row[1], quoted(row[2])),
            (vec![metric.name], kind, metric.labels.to_vec())
        );
        let events = if metric.name.contains("_server_") { ServerEvent::NAMES } else { ClientEvent::NAMES };
        assert!(quoted(row[3]).iter().all(|event| events.contains(event)), "{row:?}");
    }
}
