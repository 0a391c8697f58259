//! Horizontal bars as SVG: few enough elements that writing them is shorter than asking a library to.

use std::fmt::Write as _;

use crate::spread::grouped;

pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    /// What the parts of a bar are.
    pub(crate) legend: Vec<&'static str>,
    pub(crate) bars: Vec<Bar>,
}

pub(crate) struct Bar {
    pub(crate) name: &'static str,
    /// From the left, each on top of those before.
    pub(crate) parts: Vec<f64>,
    /// The one that this is about.
    pub(crate) strong: bool,
}

const WIDTH: f64 = 760.0;
const NAMES: f64 = 140.0;
const FIGURES: f64 = 90.0;
const BAR: f64 = 20.0;
const STEP: f64 = 30.0;
const TOP: f64 = 70.0;
/// Told apart by people who see colours differently, and in grey (Okabe and Ito).
const COLOURS: [&str; 2] = ["#9aa5b1", "#d55e00"];

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let most = self.bars.iter().map(Bar::total).fold(1.0, f64::max);
        let height = TOP + STEP * self.bars.len() as f64 + 10.0;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\" \
             aria-label=\"{title}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
             <text x=\"10\" y=\"24\" font-size=\"15\" font-weight=\"600\" fill=\"#1f2933\">{title}</text>\n",
            title = self.title
        );
        let mut x = 10.0;
        for (name, colour) in self.legend.iter().zip(COLOURS) {
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
                 <text x=\"{}\" y=\"49\" fill=\"#52606d\">{name}</text>",
                x + 18.0
            );
            x += 40.0 + 8.0 * name.len() as f64;
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"49\" text-anchor=\"end\" fill=\"#52606d\">{}; less is better</text>",
            WIDTH - 10.0,
            self.unit
        );
        for (row, bar) in self.bars.iter().enumerate() {
            bar.draw(TOP + STEP * row as f64, most, &mut svg);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

impl Bar {
    fn total(&self) -> f64 {
        self.parts.iter().sum()
    }

    fn draw(&self, y: f64, most: f64, svg: &mut String) {
        let scale = (WIDTH - NAMES - FIGURES) / most;
        let weight = if self.strong { "700" } else { "400" };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" font-weight=\"{weight}\" fill=\"#1f2933\">{}</text>",
            NAMES - 10.0,
            y + 15.0,
            self.name
        );
        let mut x = NAMES;
        for (part, colour) in self.parts.iter().zip(COLOURS) {
            let width = part * scale;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>"
            );
            x += width;
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" font-weight=\"{weight}\" fill=\"#1f2933\">{}</text>",
            x + 6.0,
            y + 15.0,
            grouped(self.total(), 0)
        );
    }
}
