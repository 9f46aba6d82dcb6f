//! What writers write and clients listen to, and whom an event concerns.

use crate::fixture::{self, CELLS, EVENTS, MESSAGES, NOTES, PADDING};
use crate::ledger::{Concerns, Mark, recipient};
use crate::request::Target;
use std::io::Write;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scene {
    /// Everybody listens to a collection without rules; each writer updates a record of its own.
    Fanout,
    /// Everybody listens to a record of its own, which is updated.
    Sparse,
    /// Everybody listens to a collection, as a user of their own, and may see what they own. Records are created.
    Owners,
    /// The same, but may see what belongs to a team of which they are a member.
    Join,
}

/// The topic of each client.
#[derive(Clone, Debug)]
pub(crate) enum Topics {
    Same(String),
    /// A record of that collection, with ids of that kind.
    Own(&'static str, &'static str),
}

impl Topics {
    pub(crate) fn of(&self, client: usize) -> String {
        match self {
            Topics::Same(topic) => topic.clone(),
            Topics::Own(collection, kind) => format!("{collection}/{}", fixture::id(kind, client)),
        }
    }
}

impl Scene {
    pub(crate) fn concerns(self) -> Concerns {
        if self == Scene::Fanout { Concerns::Everybody } else { Concerns::One }
    }

    pub(crate) fn topics(self) -> Topics {
        match self {
            Scene::Fanout => Topics::Same(format!("{}/*", EVENTS.0)),
            Scene::Sparse => Topics::Own(CELLS, "cell"),
            Scene::Owners => Topics::Same(format!("{NOTES}/*")),
            Scene::Join => Topics::Same(format!("{MESSAGES}/*")),
        }
    }

    /// Whether each client has to be a user of its own.
    pub(crate) fn has_users(self) -> bool {
        matches!(self, Scene::Owners | Scene::Join)
    }

    /// Appends the request that makes an event, for a crowd of so many.
    pub(crate) fn write(self, target: &Target, out: &mut Vec<u8>, mark: Mark, clients: usize, token: &str) {
        let one = recipient(mark.event, clients);
        let mut body = format!(r#"{{"mark":"{mark}""#).into_bytes();
        let (method, collection, record) = match self {
            Scene::Fanout => ("PATCH", EVENTS.0, Some(fixture::id("event", mark.writer))),
            Scene::Sparse => ("PATCH", CELLS, Some(fixture::id("cell", one))),
            Scene::Owners => ("POST", NOTES, None),
            Scene::Join => ("POST", MESSAGES, None),
        };
        let concerned = match self {
            Scene::Owners => Some(("owner", fixture::id("user", one))),
            Scene::Join => Some(("team", fixture::id("team", one))),
            Scene::Fanout | Scene::Sparse => None,
        };
        // Writing to a Vec cannot fail.
        if let Some((field, id)) = concerned {
            let _ = write!(body, r#","{field}":"{id}","padding":"{}""#, "x".repeat(PADDING));
        }
        body.push(b'}');
        let path = match record {
            Some(id) => format!("/api/collections/{collection}/records/{id}"),
            None => format!("/api/collections/{collection}/records"),
        };
        target.write(out, method, &path, token, Some(&body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_requests_about_the_one_concerned() {
        let mark = Mark { writer: 2, event: 3, due_micros: 4 };
        let one = recipient(3, 100);
        for (scene, line, id) in [
            (Scene::Fanout, "PATCH /api/collections/swarm_events/records/event", fixture::id("event", 2)),
            (Scene::Sparse, "PATCH /api/collections/swarm_cells/records/cell", fixture::id("cell", one)),
            (Scene::Owners, "POST /api/collections/swarm_notes/records HTTP", fixture::id("user", one)),
            (Scene::Join, "POST /api/collections/swarm_messages/records HTTP", fixture::id("team", one)),
        ] {
            let mut out = Vec::new();
            scene.write(&Target::local(80), &mut out, mark, 100, "");
            let request = String::from_utf8(out).unwrap();
            assert!(request.starts_with(line) && request.contains(&id), "{request}");
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["mark"], "2-3-4");
        }
    }

    #[test]
    fn topics() {
        assert_eq!(Scene::Fanout.topics().of(7), "swarm_events/*");
        assert_eq!(Scene::Sparse.topics().of(7), "swarm_cells/cell00000000007");
    }
}
