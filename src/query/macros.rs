//! `@now` and its kin: times that a filter may name. All of one request are taken at the same instant, in UTC.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, SubsecRound, Timelike, Utc};
use headwater_actors::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Macro {
    Now,
    Yesterday,
    Tomorrow,
    TodayStart,
    TodayEnd,
    MonthStart,
    MonthEnd,
    YearStart,
    YearEnd,
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
    Year,
}

const NAMES: [(&str, Macro); 16] = [
    ("@now", Macro::Now),
    ("@yesterday", Macro::Yesterday),
    ("@tomorrow", Macro::Tomorrow),
    ("@todayStart", Macro::TodayStart),
    ("@todayEnd", Macro::TodayEnd),
    ("@monthStart", Macro::MonthStart),
    ("@monthEnd", Macro::MonthEnd),
    ("@yearStart", Macro::YearStart),
    ("@yearEnd", Macro::YearEnd),
    ("@second", Macro::Second),
    ("@minute", Macro::Minute),
    ("@hour", Macro::Hour),
    ("@day", Macro::Day),
    ("@month", Macro::Month),
    ("@weekday", Macro::Weekday),
    ("@year", Macro::Year),
];

impl Macro {
    pub fn find(name: &str) -> Option<Macro> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, found)| *found)
    }

    pub fn as_str(self) -> &'static str {
        NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// The value at this instant: a date text, or an integer for the parts of a date.
    pub fn at(self, now: DateTime<Utc>) -> Value {
        let today = now.date_naive();
        match self {
            Macro::Now => date(now),
            Macro::Yesterday => date(now - Days::new(1)),
            Macro::Tomorrow => date(now + Days::new(1)),
            Macro::TodayStart => start(today),
            Macro::TodayEnd => end(today),
            Macro::MonthStart => start(first_of_month(today)),
            Macro::MonthEnd => end(first_of_month(today) + Months::new(1) - Days::new(1)),
            Macro::YearStart => start(first_of_year(today)),
            Macro::YearEnd => end(first_of_year(today) + Months::new(12) - Days::new(1)),
            Macro::Second => Value::Integer(now.second().into()),
            Macro::Minute => Value::Integer(now.minute().into()),
            Macro::Hour => Value::Integer(now.hour().into()),
            Macro::Day => Value::Integer(now.day().into()),
            Macro::Month => Value::Integer(now.month().into()),
            Macro::Weekday => Value::Integer(now.weekday().num_days_from_sunday().into()),
            Macro::Year => Value::Integer(now.year().into()),
        }
    }
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day - Days::new(day.day0().into())
}

fn first_of_year(day: NaiveDate) -> NaiveDate {
    day - Days::new(day.ordinal0().into())
}

fn start(day: NaiveDate) -> Value {
    date(day.and_time(NaiveTime::MIN).and_utc())
}

/// The last millisecond of the day.
fn end(day: NaiveDate) -> Value {
    date((day + Days::new(1)).and_time(NaiveTime::MIN).and_utc() - chrono::TimeDelta::milliseconds(1))
}

fn date(at: DateTime<Utc>) -> Value {
    Value::Text(at.trunc_subsecs(3).format("%Y-%m-%d %H:%M:%S%.3fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_of_a_leap_day() {
        let now = "2024-02-29T13:05:09.123987Z".parse().unwrap();
        let cases = [
            ("@now", "2024-02-29 13:05:09.123Z"),
            ("@yesterday", "2024-02-28 13:05:09.123Z"),
            ("@tomorrow", "2024-03-01 13:05:09.123Z"),
            ("@todayStart", "2024-02-29 00:00:00.000Z"),
            ("@todayEnd", "2024-02-29 23:59:59.999Z"),
            ("@monthStart", "2024-02-01 00:00:00.000Z"),
            ("@monthEnd", "2024-02-29 23:59:59.999Z"),
            ("@yearStart", "2024-01-01 00:00:00.000Z"),
            ("@yearEnd", "2024-12-31 23:59:59.999Z"),
        ];
        for (name, expected) in cases {
            assert_eq!(Macro::find(name).unwrap().at(now), Value::Text(expected.to_owned()), "{name}");
        }
        let parts = [
            ("@second", 9),
            ("@minute", 5),
            ("@hour", 13),
            ("@day", 29),
            ("@month", 2),
            ("@weekday", 4),
            ("@year", 2024),
        ];
        for (name, expected) in parts {
            assert_eq!(Macro::find(name).unwrap().at(now), Value::Integer(expected), "{name}");
        }
        assert_eq!(Macro::find("@nope"), None);
    }

    #[test]
    fn december_ends_on_the_31st() {
        let now = "2025-12-31T00:00:00Z".parse().unwrap();
        assert_eq!(Macro::MonthEnd.at(now), Value::Text("2025-12-31 23:59:59.999Z".into()));
        assert_eq!(Macro::YearEnd.at(now), Value::Text("2025-12-31 23:59:59.999Z".into()));
    }
}
