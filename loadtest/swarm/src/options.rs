//! The command line: `--name value` and `--flag`. Every command takes what it knows and then calls `finish`, so that a
//! mistyped option stops the run instead of quietly measuring something else.

use crate::Result;
use std::str::FromStr;
use std::time::Duration;

pub(crate) struct Options {
    given: Vec<(String, Option<String>)>,
}

impl Options {
    pub(crate) fn parse(arguments: &[String]) -> Result<Options> {
        let mut given = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(argument) = rest.next() {
            let Some(name) = argument.strip_prefix("--") else {
                return Err(format!("{argument}: an option begins with --").into());
            };
            let value = rest.next_if(|next| !next.starts_with("--"));
            given.push((name.to_owned(), value.cloned()));
        }
        Ok(Options { given })
    }

    fn take(&mut self, name: &str) -> Option<Option<String>> {
        let at = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.remove(at).1)
    }

    pub(crate) fn flag(&mut self, name: &str) -> Result<bool> {
        match self.take(name) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(value)) => Err(format!("--{name} takes no value, but got {value}").into()),
        }
    }

    pub(crate) fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        match self.take(name) {
            None => Ok(None),
            Some(None) => Err(format!("--{name} needs a value").into()),
            Some(Some(value)) => value.parse().map(Some).map_err(|_| format!("--{name}: cannot read {value}").into()),
        }
    }

    pub(crate) fn value<T: FromStr>(&mut self, name: &str, default: T) -> Result<T> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    pub(crate) fn required<T: FromStr>(&mut self, name: &str) -> Result<T> {
        self.optional(name)?.ok_or_else(|| format!("--{name} is missing").into())
    }

    pub(crate) fn seconds(&mut self, name: &str, default: f64) -> Result<Duration> {
        let seconds: f64 = self.value(name, default)?;
        Duration::try_from_secs_f64(seconds).map_err(|error| format!("--{name}: {error}").into())
    }

    /// To be called when everything known has been taken.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("--{name}: no such option here").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Options {
        Options::parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn values_flags_and_defaults() {
        let mut options = options("--clients 12 --pin --seconds 1.5");
        assert_eq!(options.value("clients", 1usize).unwrap(), 12);
        assert_eq!(options.value("rounds", 5usize).unwrap(), 5);
        assert!(options.flag("pin").unwrap());
        assert_eq!(options.seconds("seconds", 4.0).unwrap(), Duration::from_millis(1500));
        assert!(options.finish().is_ok());
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(options("--cleints 12").finish().is_err());
        assert!(Options::parse(&["clients".to_owned()]).is_err());
        assert!(options("--clients x").value("clients", 1usize).is_err());
    }
}
