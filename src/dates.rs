//! Moments as text: `2026-11-22 23:45:14.431Z`, in UTC, to the millisecond.
//!
//! Fields, filters and the server's own rows all keep their dates in this one form, whose alphabetical order is the
//! order of time. What requests send is understood generously by [`parse`]; it never guesses a zone or an order of day
//! and month.

use std::fmt::Write;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SubsecRound, TimeDelta, Timelike, Utc};

/// The current time in the stored form.
pub fn now() -> String {
    format(Utc::now())
}

/// A moment in the stored form.
pub fn format(moment: DateTime<Utc>) -> String {
    let mut out = String::with_capacity(24);
    let written = write!(
        out,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}Z",
        moment.year(),
        moment.month(),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second(),
        moment.nanosecond() / 1_000_000 % 1_000,
    );
    debug_assert!(written.is_ok(), "a String takes any text");
    out
}

/// A text in one of the usual notations, in the stored form. `None` for what is no date, for the empty text, and for
/// the first instant of year 1, which stands for "no date" in files written by Go programs.
pub fn parse(text: &str) -> Option<String> {
    if is_stored_form(text) && !text.starts_with("0001-01-01") {
        // The usual case: a value that was read from here before. Only the calendar has to agree.
        return read(text, STORED).map(|_| text.to_owned());
    }
    let moment = parse_moment(text)?;
    (0..=9999).contains(&moment.year()).then(|| format(moment))
}

/// As [`parse`], as a moment.
pub fn parse_moment(text: &str) -> Option<DateTime<Utc>> {
    if text.is_empty() || text.len() > 64 || !text.is_ascii() {
        return None;
    }
    // First to the millisecond, or what is left of the zero time would not be known for it.
    let moment = LAYOUTS.iter().find_map(|layout| read(text, layout))?.trunc_subsecs(3);
    (moment != DateTime::<Utc>::from_naive_utc_and_offset(ZERO, Utc)).then_some(moment)
}

/// The zero time of Go.
const ZERO: NaiveDateTime = match NaiveDate::from_ymd_opt(1, 1, 1) {
    Some(date) => match date.and_hms_opt(0, 0, 0) {
        Some(moment) => moment,
        None => NaiveDateTime::MIN,
    },
    None => NaiveDateTime::MIN,
};

pub(crate) fn is_stored_form(text: &str) -> bool {
    const FORM: &[u8; 24] = b"0000-00-00 00:00:00.000Z";
    text.len() == FORM.len()
        && text.bytes().zip(FORM).all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form })
}

/// One piece of a notation.
#[derive(Clone, Copy)]
enum Part {
    /// Four digits.
    Year,
    /// Two digits: 69 to 99 are of the last century.
    ShortYear,
    Month,
    /// `Jan`, in any case.
    MonthName,
    Day,
    /// One or two digits, or a blank and a digit.
    LooseDay,
    /// `Mon`, in any case; whether it is the right one does not matter.
    Weekday,
    /// `Monday`.
    LongWeekday,
    /// One or two digits.
    Hour,
    /// One or two digits, at most 12.
    HalfDayHour,
    /// `AM` or `PM`.
    HalfDay,
    Minute,
    /// Two digits, and a fraction of any length if one follows.
    Second,
    /// `Z`, or as `Offset`.
    ZoneOrOffset {
        colon: bool,
    },
    /// `+02:00`, or `+0200` without the colon.
    Offset {
        colon: bool,
    },
    /// `CET`. A name says nothing reliable about the offset: the clock is then taken as UTC.
    ZoneName,
    /// This text; a blank stands for one or more.
    Is(&'static str),
}

use Part::*;

const STORED: &[Part] = &[
    Year,
    Is("-"),
    Month,
    Is("-"),
    Day,
    Is(" "),
    Hour,
    Is(":"),
    Minute,
    Is(":"),
    Second,
    ZoneOrOffset { colon: true },
];

/// The notations understood, most usual first.
const LAYOUTS: &[&[Part]] = &[
    STORED,
    &[Year, Is("-"), Month, Is("-"), Day],
    &[
        Year,
        Is("-"),
        Month,
        Is("-"),
        Day,
        Is("T"),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        ZoneOrOffset { colon: true },
    ],
    &[Year, Is("-"), Month, Is("-"), Day, Is("T"), Hour, Is(":"), Minute, Is(":"), Second],
    &[Year, Is("-"), Month, Is("-"), Day, Is(" "), Hour, Is(":"), Minute, Is(":"), Second],
    &[
        Weekday,
        Is(","),
        Is(" "),
        Day,
        Is(" "),
        MonthName,
        Is(" "),
        Year,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        Is(" "),
        Offset { colon: false },
    ],
    &[
        Weekday,
        Is(","),
        Is(" "),
        Day,
        Is(" "),
        MonthName,
        Is(" "),
        Year,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        Is(" "),
        ZoneName,
    ],
    &[Day, Is(" "), MonthName, Is(" "), ShortYear, Is(" "), Hour, Is(":"), Minute, Is(" "), Offset { colon: false }],
    &[Day, Is(" "), MonthName, Is(" "), ShortYear, Is(" "), Hour, Is(":"), Minute, Is(" "), ZoneName],
    &[
        LongWeekday,
        Is(","),
        Is(" "),
        Day,
        Is("-"),
        MonthName,
        Is("-"),
        ShortYear,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        Is(" "),
        ZoneName,
    ],
    &[
        Year,
        Is("-"),
        Month,
        Is("-"),
        Day,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        Is(" "),
        Offset { colon: false },
        Is(" "),
        ZoneName,
    ],
    &[Year, Is("-"), Month, Is("-"), Day, Is("T"), Hour, Is(":"), Minute, Is(":"), Second, Offset { colon: false }],
    &[
        Year,
        Is("-"),
        Month,
        Is("-"),
        Day,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        ZoneOrOffset { colon: false },
    ],
    &[Weekday, Is(" "), MonthName, Is(" "), LooseDay, Is(" "), Hour, Is(":"), Minute, Is(":"), Second, Is(" "), Year],
    &[
        Weekday,
        Is(" "),
        MonthName,
        Is(" "),
        LooseDay,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        Is(" "),
        ZoneName,
        Is(" "),
        Year,
    ],
    &[
        Weekday,
        Is(" "),
        MonthName,
        Is(" "),
        Day,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        Is(" "),
        Offset { colon: false },
        Is(" "),
        Year,
    ],
    &[Day, Is(" "), MonthName, Is(" "), Year],
    &[
        Year,
        Is("-"),
        Month,
        Is("-"),
        Day,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        Is(" "),
        Offset { colon: true },
    ],
    &[
        Year,
        Is("-"),
        Month,
        Is("-"),
        Day,
        Is(" "),
        Hour,
        Is(":"),
        Minute,
        Is(":"),
        Second,
        Is(" "),
        Offset { colon: false },
    ],
    // A time of day alone counts in year 0, so that such values still sort by it.
    &[HalfDayHour, Is(":"), Minute, HalfDay],
    &[MonthName, Is(" "), LooseDay, Is(" "), Hour, Is(":"), Minute, Is(":"), Second],
];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The whole of an ASCII text in one notation.
fn read(text: &str, layout: &[Part]) -> Option<DateTime<Utc>> {
    let (mut year, mut month, mut day, mut hour, mut minute, mut second, mut nanos) = (0, 1, 1, 0, 0, 0, 0);
    let mut afternoon = None;
    let mut offset = 0;
    let mut rest = text;
    for part in layout {
        match *part {
            Year => year = digits(&mut rest, 4, 4)? as i32,
            ShortYear => {
                let short = digits(&mut rest, 2, 2)? as i32;
                year = if short >= 69 { 1900 + short } else { 2000 + short };
            }
            Month => month = digits(&mut rest, 2, 2)?,
            MonthName => month = name(&mut rest, &MONTHS)? as u32 + 1,
            Day => day = digits(&mut rest, 2, 2)?,
            LooseDay => {
                rest = rest.strip_prefix(' ').unwrap_or(rest);
                day = digits(&mut rest, 1, 2)?;
            }
            Weekday => drop(name(&mut rest, &WEEKDAYS.map(|day| &day[..3]))?),
            LongWeekday => drop(name(&mut rest, &WEEKDAYS)?),
            Hour => hour = digits(&mut rest, 1, 2)?,
            HalfDayHour => hour = digits(&mut rest, 1, 2).filter(|hour| *hour <= 12)?,
            HalfDay => {
                afternoon = Some(match rest.get(..2)? {
                    "AM" => false,
                    "PM" => true,
                    _ => return None,
                });
                rest = &rest[2..];
            }
            Minute => minute = digits(&mut rest, 2, 2)?,
            Second => {
                second = digits(&mut rest, 2, 2)?;
                nanos = fraction(&mut rest);
            }
            ZoneOrOffset { colon } => match rest.strip_prefix('Z') {
                Some(after) => rest = after,
                None => offset = utc_offset(&mut rest, colon)?,
            },
            Offset { colon } => offset = utc_offset(&mut rest, colon)?,
            ZoneName => zone_name(&mut rest)?,
            Is(" ") => {
                let after = rest.trim_start_matches(' ');
                (after.len() < rest.len()).then_some(())?;
                rest = after;
            }
            Is(expected) => rest = rest.strip_prefix(expected)?,
        }
    }
    match afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    if !rest.is_empty() {
        return None;
    }
    let clock = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_nano_opt(hour, minute, second, nanos)?;
    Some(clock.checked_sub_signed(TimeDelta::seconds(offset))?.and_utc())
}

/// Between `min` and `max` digits, greedily.
fn digits(rest: &mut &str, min: usize, max: usize) -> Option<u32> {
    let count = rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at_checked(count)?;
    *rest = after;
    if count < min { None } else { number.parse().ok() }
}

/// The index of the name that the text begins with.
fn name(rest: &mut &str, names: &[&str]) -> Option<usize> {
    let begins = |name: &&str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let index = names.iter().position(begins)?;
    *rest = &rest[names[index].len()..];
    Some(index)
}

/// `.123` or `,123` in nanoseconds, 0 where there is none.
fn fraction(rest: &mut &str) -> u32 {
    let Some(after) = rest.strip_prefix(['.', ',']) else { return 0 };
    let count = after.bytes().take_while(u8::is_ascii_digit).count();
    if count == 0 {
        return 0;
    }
    let nanos = after.bytes().take(count).chain(std::iter::repeat(b'0')).take(9);
    *rest = &after[count..];
    nanos.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
}

/// `+02:00` or `+0200` in seconds.
fn utc_offset(rest: &mut &str, colon: bool) -> Option<i64> {
    let sign = match rest.bytes().next()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    *rest = &rest[1..];
    let hours = digits(rest, 2, 2)?;
    if colon {
        *rest = rest.strip_prefix(':')?;
    }
    let minutes = digits(rest, 2, 2)?;
    (hours <= 24 && minutes <= 60).then(|| sign * i64::from(hours * 3600 + minutes * 60))
}

/// Three to five capitals.
fn zone_name(rest: &mut &str) -> Option<()> {
    let count = rest.bytes().take_while(u8::is_ascii_uppercase).count();
    if !(3..=5).contains(&count) {
        return None;
    }
    *rest = &rest[count..];
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations() {
        let cases: &[(&str, &str)] = &[
            ("2026-11-22 23:45:14.431Z", "2026-11-22 23:45:14.431Z"),
            ("2026-11-22", "2026-11-22 00:00:00.000Z"),
            ("2026-11-22 23:45:14", "2026-11-22 23:45:14.000Z"),
            ("2026-11-22 23:45:14.5", "2026-11-22 23:45:14.500Z"),
            ("2026-11-22 23:45:14.123999Z", "2026-11-22 23:45:14.123Z"),
            ("2026-11-22 3:45:14", "2026-11-22 03:45:14.000Z"),
            ("2026-11-22T23:45:14Z", "2026-11-22 23:45:14.000Z"),
            ("2026-11-22T23:45:14.9+02:00", "2026-11-22 21:45:14.900Z"),
            ("2026-11-22T23:45:14", "2026-11-22 23:45:14.000Z"),
            ("2026-11-22T23:45:14-0730", "2026-11-23 07:15:14.000Z"),
            ("2026-11-22 23:45:14+0200", "2026-11-22 21:45:14.000Z"),
            ("2026-11-22 23:45:14 +0200", "2026-11-22 21:45:14.000Z"),
            ("2026-11-22 23:45:14 +02:00", "2026-11-22 21:45:14.000Z"),
            ("2026-11-22 23:45:14 +0200 EET", "2026-11-22 21:45:14.000Z"),
            ("Sun, 22 Nov 2026 23:45:14 +0100", "2026-11-22 22:45:14.000Z"),
            ("Sun, 22 Nov 2026 23:45:14 CET", "2026-11-22 23:45:14.000Z"),
            ("22 Nov 26 23:45 +0100", "2026-11-22 22:45:00.000Z"),
            ("22 Nov 26 23:45 GMT", "2026-11-22 23:45:00.000Z"),
            ("Sunday, 22-Nov-26 23:45:14 UTC", "2026-11-22 23:45:14.000Z"),
            ("Sun Nov  2 23:45:14 2026", "2026-11-02 23:45:14.000Z"),
            ("Sun Nov 22 23:45:14 UTC 2026", "2026-11-22 23:45:14.000Z"),
            ("Sun Nov 22 23:45:14 +0100 2026", "2026-11-22 22:45:14.000Z"),
            ("22 Nov 2026", "2026-11-22 00:00:00.000Z"),
            ("3:04PM", "0000-01-01 15:04:00.000Z"),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).as_deref(), Some(*expected), "{text}");
        }
    }

    #[test]
    fn not_dates() {
        let cases = [
            "",
            "x",
            "2026",
            "1795823125",
            "2026-11-22 23:45",
            "2026-02-30",
            "2026-13-01",
            "2026-11-22 24:00:00",
            "2026-11-22 23:60:00",
            "2026-11-22 23:45:60",
            "2026-11-22 23:45:14 UTC",
            "12026-11-22",
            "22/11/2026",
            "2026-11-22 ",
            " 2026-11-22",
            "2026-11-22T",
            "0001-01-01 00:00:00.000Z",
            "0001-01-01",
            "0001-01-01 00:00:00.0001",
            "٢٠٢٦-11-22",
            "9999-12-31 23:59:59-05:00",
        ];
        for text in cases {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_stored_form_is_stable() {
        let text = now();
        assert_eq!(parse(&text), Some(text));
    }
}
