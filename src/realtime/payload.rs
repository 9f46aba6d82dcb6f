//! What an event says: `{"record":{…},"action":"…"}`, on one line.

use bytes::Bytes;

use super::options::Options;
use crate::json;
use crate::records::{Record, output};

/// The record must have been decided ([`crate::records::shows`]) and expanded for who will see it.
pub(super) fn payload(record: &Record, action: &str, options: Option<&Options>) -> Bytes {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(br#"{"record":"#);
    let fields = options.map(|options| &options.fields).filter(|fields| !fields.is_empty());
    match fields {
        None => output::write_json(record, &mut out),
        Some(fields) => json::write(&fields.apply(output::to_json(record)), &mut out),
    }
    out.extend_from_slice(br#","action":""#);
    out.extend_from_slice(action.as_bytes());
    out.extend_from_slice(br#""}"#);
    on_one_line(out)
}

/// The end of a record in a live query: it matches no more, or nobody may know whether it does.
pub(super) fn leave(id: &str) -> Bytes {
    format!(r#"{{"action":"leave","id":{}}}"#, serde_json::Value::from(id)).into()
}

/// JSON as one line of a stream.
pub(super) fn on_one_line(mut out: Vec<u8>) -> Bytes {
    // A stored JSON text may be written over several lines. Between its values, where alone they can stand, line ends are
    // as good as blanks; in a stream they would end the data.
    for byte in &mut out {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    out.into()
}
