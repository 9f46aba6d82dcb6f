//! Cron expressions: when something is to be done, to the minute.

/// The minutes at which an expression holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// A bit for each minute, hour, day of the month, month and day of the week (0 is Sunday) that fits.
    fits: [u64; 5],
}

/// Name, least and most of the five segments.
const SEGMENTS: [(&str, u8, u8); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6)];

impl Schedule {
    /// Five segments (`*`, `5`, `1-10`, `*/2`, `1-30/5`, lists of them by `,`), or `@hourly` and the like.
    /// The error is a sentence for whoever wrote it.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            text => text,
        };
        let segments: Vec<&str> = text.split(' ').collect();
        if segments.len() != SEGMENTS.len() {
            return Err(
                "a cron expression has five segments separated by single spaces, or is a macro like @daily".into()
            );
        }
        let mut fits = [0; 5];
        for (index, (name, least, most)) in SEGMENTS.iter().enumerate() {
            fits[index] = parse_segment(segments[index], *least, *most).map_err(|error| format!("{name}: {error}"))?;
        }
        Ok(Schedule { fits })
    }

    /// True at this minute, hour, day of the month, month and day of the week.
    pub fn is_due(&self, minute: u32, hour: u32, day: u32, month: u32, weekday: u32) -> bool {
        let now = [minute, hour, day, month, weekday];
        self.fits.iter().zip(now).all(|(fits, value)| fits >> value.min(63) & 1 == 1)
    }
}

fn parse_segment(text: &str, least: u8, most: u8) -> Result<u64, String> {
    let number = |text: &str| -> Result<u8, String> {
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("\"{text}\" is not a number from {least} to {most}")),
        }
    };
    let mut fits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            None => (part, 1),
            Some((range, step)) => match step.parse() {
                Ok(step) if (1..=most).contains(&step) => (range, step),
                _ => return Err(format!("the step \"{step}\" is not a number from 1 to {most}")),
            },
        };
        let (first, last) = match (range, range.split_once('-')) {
            ("*", _) => (least, most),
            (_, Some((first, last))) => (number(first)?, number(last)?),
            (single, None) if step == 1 => (number(single)?, number(single)?),
            _ => return Err("only a range or * can have a step".into()),
        };
        if last < first {
            return Err(format!("the range \"{range}\" ends before it begins"));
        }
        fits |= (first..=last).step_by(step.into()).fold(0, |fits, value| fits | 1 << value);
    }
    Ok(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_that_hold_and_do_not() {
        // Minute, hour, day, month, weekday.
        let now = [30, 5, 15, 6, 1];
        let cases = [
            ("* * * * *", true),
            ("30 5 15 6 1", true),
            ("*/15 * * * *", true),
            ("*/20 * * * *", false),
            ("0,30 1-5 * * *", true),
            ("0-40/10 * * * *", true),
            ("1-40/10 * * * *", false),
            ("* * * * 0,6", false),
            ("@hourly", false),
        ];
        for (text, due) in cases {
            let [minute, hour, day, month, weekday] = now;
            assert_eq!(Schedule::parse(text).unwrap().is_due(minute, hour, day, month, weekday), due, "{text}");
        }
        assert_eq!(Schedule::parse("@daily"), Schedule::parse("0 0 * * *"));
    }

    #[test]
    fn what_is_no_expression() {
        let texts =
            ["", "*", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7"];
        let more = [
            "5/2 * * * *",
            "*/0 * * * *",
            "9-5 * * * *",
            "a * * * *",
            "1- * * * *",
            "-1 * * * *",
            ", * * * *",
            "@never",
        ];
        for text in texts.into_iter().chain(more) {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
