//! The page that the results go to: `docs/benchmarks.md`, a section for each measurement. A run of some
//! sections replaces those and leaves the others as they are, each with the day and machine it is from.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::chart::Chart;
use crate::machine::machine;

/// What one measurement came to.
pub(crate) struct Section {
    pub(crate) title: String,
    /// What was asked, and how.
    pub(crate) question: String,
    pub(crate) tables: Vec<Table>,
    pub(crate) notes: Vec<String>,
    pub(crate) chart: Option<Chart>,
}

pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&cell| cell.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// In Markdown: the first column to the left, figures to the right.
    fn text(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(&self.head);
        let _ = writeln!(text, "|---|{}", "---:|".repeat(self.head.len() - 1));
        self.rows.iter().for_each(|row| text.push_str(&line(row)));
        text
    }
}

impl Section {
    pub(crate) fn text(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.question);
        for table in &self.tables {
            let _ = writeln!(text, "{}", table.text());
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text.trim_end().to_owned() + "\n"
    }
}

const PAGE_HEAD: &str = "\
# Benchmarks

Written by `cargo bench --bench peers`; [benches/README.md](../benches/README.md) says how it measures
and how to read it. Each figure is the median of the rounds, with the least and the most in brackets;
ratios are taken within a round. Compare figures of one section only: each is one run, and machines
drift from one to the next. What the figures are made of, and what was done about them, is in
[performance.md](performance.md).
";

/// Puts a section onto the page, in the order of `names`, and its chart beside it.
pub(crate) fn write(name: &str, section: &Section, names: &[&str]) -> Result<(), String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let (page, plots) = (docs.join("benchmarks.md"), docs.join("benchmarks"));
    let say = |error: std::io::Error| format!("docs/benchmarks.md cannot be written: {error}");
    let mut text = section.text();
    if let Some(chart) = &section.chart {
        fs::create_dir_all(&plots).map_err(say)?;
        fs::write(plots.join(format!("{name}.svg")), chart.svg()).map_err(say)?;
        let _ = write!(text, "\n![{}](benchmarks/{name}.svg)\n", chart.title);
    }
    let _ = write!(text, "\n{}\n", machine());
    let old = fs::read_to_string(&page).unwrap_or_default();
    let mut new = PAGE_HEAD.to_owned();
    for other in names {
        let marker = format!("\n<!-- {other} -->\n");
        if other == &name {
            new += &(marker + &text);
        } else if let Some((_, rest)) = old.split_once(&marker) {
            let end = rest.find("\n<!-- ").unwrap_or(rest.len());
            new += &(marker + &rest[..end]);
        }
    }
    fs::write(page, new).map_err(say)
}
