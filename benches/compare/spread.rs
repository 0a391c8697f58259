//! A figure that was measured several times.

/// The median, with the least and the most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
    /// A quarter of the values is below the first of them, and above the second.
    quartiles: (f64, f64),
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (half, even) = (values.len() / 2, values.len().is_multiple_of(2));
        let below = if even { half - 1 } else { half };
        Self {
            median: f64::midpoint(values[below], values[half]),
            least: values[0],
            most: values[values.len() - 1],
            quartiles: (
                values[values.len() / 4],
                values[values.len() - 1 - values.len() / 4],
            ),
        }
    }

    /// `median (first quartile … third quartile)`.
    pub(crate) fn show_quartiles(self, digits: usize) -> String {
        let (first, third) = self.quartiles;
        let [median, first, third] =
            [self.median, first, third].map(|value| grouped(value, digits));
        format!("{median} ({first} … {third})")
    }

    /// `median (least … most)`.
    pub(crate) fn show(self, digits: usize) -> String {
        let [median, least, most] =
            [self.median, self.least, self.most].map(|value| grouped(value, digits));
        format!("{median} ({least} … {most})")
    }
}

/// A number with its thousands apart.
pub(crate) fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text
        .split_once('.')
        .map_or((&*text, None), |(w, f)| (w, Some(f)));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}
