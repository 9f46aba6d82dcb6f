//! Positions in the stream of changes.
//!
//! A [`Seq`] counts changes in commit order: 1, 2, 3 … without holes. An [`Epoch`] names one history of the data file:
//! it changes whenever the numbers of before no longer mean the same changes (a restored backup, a foreign write).
//! Together they are a [`Position`], written `EPOCH:SEQ`, which a client keeps to resume from.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rand::RngExt;

/// The number of a committed change. The first change of a history is 1; 0 stands for "before any change".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first change.
    pub const ZERO: Seq = Seq(0);

    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one history: 8 characters of `[a-z0-9]`, made at random when a change log is created.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    const LENGTH: usize = 8;
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";

    pub fn random() -> Epoch {
        let mut rng = rand::rng();
        let text: String =
            (0..Self::LENGTH).map(|_| Self::ALPHABET[rng.random_range(0..Self::ALPHABET.len())] as char).collect();
        Epoch(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Epoch {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Epoch, InvalidPosition> {
        let fits = text.len() == Self::LENGTH && text.bytes().all(|b| Self::ALPHABET.contains(&b));
        if fits { Ok(Epoch(text.into())) } else { Err(InvalidPosition) }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in one history, written `EPOCH:SEQ`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    pub epoch: Epoch,
    pub seq: Seq,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Position, InvalidPosition> {
        let (epoch, seq) = text.split_once(':').ok_or(InvalidPosition)?;
        if seq.is_empty() || !seq.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidPosition);
        }
        Ok(Position { epoch: epoch.parse()?, seq: Seq(seq.parse().map_err(|_| InvalidPosition)?) })
    }
}

/// The text is not of the form `EPOCH:SEQ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position of the form EPOCH:SEQ")]
pub struct InvalidPosition;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_reads_back_what_it_wrote() {
        let position = Position { epoch: Epoch::random(), seq: Seq(10_428) };
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "k3f9xq2a", "k3f9xq2a:", ":1", "k3f9xq2a:-1", "k3f9xq2a:+1", "short:1", "K3F9XQ2A:1"] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text}");
        }
    }
}
