//! The rows that every area reports, the bars that a run is held to, and both as a table and as JSON.

use serde_json::{Value, json};

use crate::measure::{self, Contender, Effort};

/// Which of two values is the better one.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Better {
    Lower,
    Higher,
    /// Neither: the row describes.
    None,
}

impl Better {
    const fn word(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
            Self::None => "",
        }
    }
}

/// One measured value, or one bar that was computed from such values of the same run.
pub(crate) struct Row {
    pub(crate) workload: String,
    pub(crate) system: String,
    pub(crate) version: String,
    pub(crate) metric: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) notes: String,
    /// The value divided by ours, for the same workload and metric.
    ratio_vs_ours: Option<f64>,
    bar: Option<f64>,
}

impl Row {
    fn met(&self) -> Option<bool> {
        self.bar.map(|bar| if self.better == Better::Higher { self.value >= bar } else { self.value <= bar })
    }
}

/// All rows of one run of one area.
pub(crate) struct Report {
    area: &'static str,
    ours: &'static str,
    rows: Vec<Row>,
}

/// The metric of everything that [`Report::measure`] measures.
const CPU: &str = "CPU time";

impl Report {
    /// A report in which `ours` is the system that others are compared with.
    pub(crate) const fn new(area: &'static str, ours: &'static str) -> Self {
        Self { area, ours, rows: Vec::new() }
    }

    /// Measures the contenders at one workload; a row for each.
    pub(crate) fn measure(&mut self, workload: &str, effort: Effort, mut contenders: Vec<Contender<'_>>) {
        eprintln!("measuring {workload} …");
        let timings = measure::interleaved(&mut contenders, effort);
        for (contender, timing) in contenders.iter().zip(timings) {
            let row = Row::new(workload, contender.system, &contender.version, CPU, timing.median, "ns", Better::Lower);
            self.row(row.with_notes(format!("p99 {:.0}; {}", timing.p99, contender.notes)));
        }
    }

    /// Adds a row that was measured in another way.
    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// The median CPU time of `system` at `workload`.
    ///
    /// # Panics
    ///
    /// When it was not measured: a bar on nothing is a mistake in this program.
    pub(crate) fn cpu(&self, workload: &str, system: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.workload == workload && row.system == system && row.metric == CPU);
        row.unwrap_or_else(|| panic!("{system} was not measured at {workload}")).value
    }

    /// Holds a value of this run, which should be low, to a bar.
    pub(crate) fn bar(&mut self, workload: &str, metric: &str, value: f64, unit: &'static str, bar: f64) {
        let version = crate::version(self.ours);
        let row = Row::new(workload, self.ours, &version, metric, value, unit, Better::Lower);
        self.rows.push(Row { bar: Some(bar), ..row });
    }

    /// Holds a value of this run, which should be high, to a bar.
    pub(crate) fn bar_at_least(&mut self, workload: &str, metric: &str, value: f64, unit: &'static str, bar: f64) {
        let version = crate::version(self.ours);
        let row = Row::new(workload, self.ours, &version, metric, value, unit, Better::Higher);
        self.rows.push(Row { bar: Some(bar), ..row });
    }

    /// Computes what depends on all rows.
    pub(crate) fn finish(&mut self) {
        let ours: Vec<(String, String, f64)> = self
            .rows
            .iter()
            .filter(|row| row.system == self.ours && row.bar.is_none() && row.value != 0.0)
            .map(|row| (row.workload.clone(), row.metric.clone(), row.value))
            .collect();
        for row in self.rows.iter_mut().filter(|row| row.bar.is_none()) {
            let same = ours.iter().find(|(workload, metric, _)| *workload == row.workload && *metric == row.metric);
            row.ratio_vs_ours = same.map(|(_, _, value)| row.value / value);
        }
    }

    /// The bars that this run missed, each as one line.
    pub(crate) fn missed(&self) -> Vec<String> {
        let missed = self.rows.iter().filter(|row| row.met() == Some(false));
        missed
            .map(|row| format!("{}: {} is {}, the bar {}", row.workload, row.metric, number(row.value), bar(row)))
            .collect()
    }

    /// The table, for people.
    pub(crate) fn print(&self) {
        let header = ["workload", "system", "version", "metric", "value", "vs ours", "bar", "notes"].map(str::to_owned);
        let rows = self.rows.iter().map(|row| {
            let verdict = match row.met() {
                Some(true) => format!("{} met", bar(row)),
                Some(false) => format!("{} MISSED", bar(row)),
                None => String::new(),
            };
            let ratio = row.ratio_vs_ours.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            let value = format!("{} {}", number(row.value), row.unit);
            [
                row.workload.clone(),
                row.system.clone(),
                row.version.clone(),
                row.metric.clone(),
                value,
                ratio,
                verdict,
                row.notes.clone(),
            ]
        });
        let rows: Vec<[String; 8]> = std::iter::once(header).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        for row in &rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }

    /// The rows, for programs.
    pub(crate) fn to_json(&self) -> String {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let mut value = json!({
                    "area": self.area, "workload": row.workload, "system": row.system, "version": row.version,
                    "metric": row.metric, "value": row.value, "unit": row.unit, "better": row.better.word(),
                    "ratio_vs_ours": row.ratio_vs_ours, "notes": row.notes,
                });
                if let (Some(bar), Some(met)) = (row.bar, row.met()) {
                    value["bar"] = bar.into();
                    value["met"] = met.into();
                }
                value
            })
            .collect();
        format!("{:#}\n", Value::Array(rows))
    }
}

impl Row {
    /// A row without notes and without a bar.
    pub(crate) fn new(
        workload: &str,
        system: &str,
        version: &str,
        metric: &str,
        value: f64,
        unit: &'static str,
        better: Better,
    ) -> Self {
        Self {
            workload: workload.to_owned(),
            system: system.to_owned(),
            version: version.to_owned(),
            metric: metric.to_owned(),
            value,
            unit,
            better,
            notes: String::new(),
            ratio_vs_ours: None,
            bar: None,
        }
    }

    /// The same row with a remark.
    pub(crate) fn with_notes(mut self, notes: String) -> Self {
        self.notes = notes;
        self
    }
}

fn bar(row: &Row) -> String {
    let sign = if row.better == Better::Higher { '≥' } else { '≤' };
    format!("{sign} {}", row.bar.map(number).unwrap_or_default())
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
