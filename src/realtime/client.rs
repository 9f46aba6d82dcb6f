//! The name of a client: what it shows when it sets its topics from another connection.

use std::fmt;

use rand::RngExt;

/// 40 random characters of `[A-Za-z0-9]`: as good as a password, for as long as the connection lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientId([u8; ClientId::LENGTH]);

impl ClientId {
    const LENGTH: usize = 40;
    const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    pub fn random() -> ClientId {
        let mut rng = rand::rng();
        ClientId(std::array::from_fn(|_| Self::ALPHABET[rng.random_range(0..Self::ALPHABET.len())]))
    }

    /// None if no client can have this name.
    pub fn parse(text: &str) -> Option<ClientId> {
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(ClientId(bytes))
    }

    pub fn as_str(&self) -> &str {
        // The bytes are ASCII; see the two ways to make one.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever knows the whole of it could take the client over.
        write!(f, "ClientId({}…)", &self.as_str()[..4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_nothing_else_does() {
        let id = ClientId::random();
        assert_eq!(ClientId::parse(id.as_str()), Some(id));
        assert_ne!(ClientId::random(), id);
        for text in ["", "abc", &"a".repeat(39), &"a".repeat(41), &"-".repeat(40), &"é".repeat(20)] {
            assert_eq!(ClientId::parse(text), None, "{text}");
        }
    }
}
