//! The requests that `http` and `compare` measure, on the collections of `fixture`.

use crate::Result;
use crate::fixture::{self, GROUPS, ITEMS};
use crate::http::Work;
use crate::request::Target;
use std::io::Write;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Operation {
    Create,
    Update,
    Get,
    /// A page of 20, filtered and sorted, with the total.
    List,
    /// The same without the total.
    ListSkipTotal,
    /// The same with a filter that nobody has asked before.
    ListOther,
    /// A page of 20, sorted, with one relation expanded, with the total.
    ListExpand,
    /// A new token for an old one.
    AuthRefresh,
    /// Nine lists with the total, then an update of any row.
    ListUpdate,
}

impl Operation {
    /// As on the command line, and as people read it. Reads come first and creates last, so that in a comparison all read
    /// the same rows, and the faster of two servers does not get more to read because it has created more.
    pub(crate) const ALL: [(Operation, &str, &str); 9] = [
        (Operation::Get, "get", "get one"),
        (Operation::List, "list", "list 20, filter + sort, with total"),
        (Operation::ListSkipTotal, "list-skiptotal", "list 20, filter + sort, no total"),
        (Operation::ListOther, "list-other", "list 20, another filter + sort each, no total"),
        (Operation::ListExpand, "list-expand", "list 20, sort, expand, with total"),
        (Operation::AuthRefresh, "auth-refresh", "auth-refresh"),
        (Operation::ListUpdate, "list-update", "list 20, with total, one in ten an update"),
        (Operation::Update, "update", "update"),
        (Operation::Create, "create", "create"),
    ];
}

impl FromStr for Operation {
    type Err = Box<dyn std::error::Error>;

    fn from_str(name: &str) -> Result<Operation> {
        let found = Operation::ALL.iter().find(|(_, known, _)| *known == name);
        found.map(|(operation, _, _)| *operation).ok_or_else(|| format!("{name}: no such operation").into())
    }
}

/// Requests of one kind without end, each on a row (or page) chosen at random.
pub(crate) struct Requests {
    pub(crate) target: Target,
    pub(crate) operation: Operation,
    /// Of the callers, in turn; none for guests.
    pub(crate) tokens: Vec<String>,
    /// The collection that the callers are of.
    pub(crate) callers: &'static str,
    /// How many items the fixture has made.
    pub(crate) rows: usize,
    sent: usize,
    random: Random,
    path: Vec<u8>,
    body: Vec<u8>,
}

impl Requests {
    pub(crate) fn new(target: Target, operation: Operation, tokens: Vec<String>, rows: usize) -> Requests {
        let callers = fixture::USERS;
        Requests {
            target,
            operation,
            tokens,
            callers,
            rows,
            sent: 0,
            random: Random::new(),
            path: Vec::new(),
            body: Vec::new(),
        }
    }
}

impl Work for Requests {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let row = self.random.below(self.rows);
        let page = 1 + self.random.below(10);
        let records = format_args!("/api/collections/{ITEMS}/records");
        self.path.clear();
        self.body.clear();
        let path = &mut self.path;
        let updates = self.operation == Operation::ListUpdate && self.sent % 10 == 9;
        let operation = if updates { Operation::Update } else { self.operation };
        // Writing to a Vec cannot fail.
        let (method, _) = match operation {
            Operation::Create => {
                fixture::write_item(&mut self.body, None, self.rows + self.sent);
                ("POST", write!(path, "{records}"))
            }
            Operation::Update => {
                let group = fixture::id("group", row % GROUPS.1);
                let _ = write!(self.body, r#"{{"title":"Changed {}","number":{row},"group":"{group}"}}"#, self.sent);
                ("PATCH", write!(path, "{records}/{}", fixture::id("item", row)))
            }
            Operation::Get => ("GET", write!(path, "{records}/{}", fixture::id("item", row))),
            Operation::List | Operation::ListSkipTotal | Operation::ListOther | Operation::ListUpdate => {
                let with_total = matches!(operation, Operation::List | Operation::ListUpdate);
                let skip = if with_total { "" } else { "&skipTotal=1" };
                // So few rows have a number about there that the pages are the same.
                let above = 1000.0 + if operation == Operation::ListOther { self.sent as f64 / 1e6 } else { 0.0 };
                let filter = format_args!("(active%3Dtrue%26%26number%3E{above})");
                ("GET", write!(path, "{records}?page={page}&perPage=20&sort=-number&filter={filter}{skip}"))
            }
            Operation::AuthRefresh => ("POST", write!(path, "/api/collections/{}/auth-refresh", self.callers)),
            Operation::ListExpand => {
                ("GET", write!(path, "{records}?page={page}&perPage=20&sort=-number&expand=group"))
            }
        };
        let token = self.tokens.get(self.sent % self.tokens.len().max(1)).map_or("", String::as_str);
        let body = (!self.body.is_empty()).then_some(self.body.as_slice());
        self.target.write(out, method, &String::from_utf8_lossy(&self.path), token, body);
        self.sent += 1;
        true
    }
}

/// xorshift64*: which row comes next need not be a secret, but must be the same for every server.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Random {
        Random(0x5DEE_CE66)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(name: &str) -> String {
        let tokens = vec!["token".to_owned()];
        let mut requests = Requests::new(Target::local(80), name.parse().unwrap(), tokens, 100);
        let mut out = Vec::new();
        assert!(requests.next(&mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_operation_is_a_request() {
        for (name, line) in [
            ("create", "POST /api/collections/swarm_items/records HTTP/1.1\r\n"),
            ("update", "PATCH /api/collections/swarm_items/records/item0"),
            ("get", "GET /api/collections/swarm_items/records/item0"),
            ("list", "GET /api/collections/swarm_items/records?page="),
            ("auth-refresh", "POST /api/collections/swarm_users/auth-refresh HTTP/1.1\r\n"),
        ] {
            let request = first(name);
            assert!(request.starts_with(line), "{request}");
            assert!(request.contains("\r\nAuthorization: token\r\n"));
        }
        assert!(first("list-skiptotal").contains("&skipTotal=1 HTTP/1.1"));
        assert!(!first("list-expand").contains("skipTotal"));
        assert!(!first("list").contains("skipTotal"));
        assert!("nothing".parse::<Operation>().is_err());
    }

    #[test]
    fn lists_ask_the_same_or_something_else_each_time() {
        let filters = |name: &str| {
            let mut requests = Requests::new(Target::local(80), name.parse().unwrap(), Vec::new(), 100);
            let mut filter = || {
                let mut out = Vec::new();
                requests.next(&mut out);
                let request = String::from_utf8(out).unwrap();
                let filter = request.split_once("filter=").unwrap().1;
                filter.split(['&', ' ']).next().unwrap().to_owned()
            };
            [filter(), filter()]
        };
        assert_eq!(filters("list-skiptotal"), ["(active%3Dtrue%26%26number%3E1000)"; 2]);
        let [one, other] = filters("list-other");
        assert_eq!(one, "(active%3Dtrue%26%26number%3E1000)");
        assert_eq!(other, "(active%3Dtrue%26%26number%3E1000.000001)");
    }

    #[test]
    fn bodies_are_json() {
        for name in ["create", "update"] {
            let request = first(name);
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}", body.len())));
            assert!(serde_json::from_str::<serde_json::Value>(body).unwrap().is_object());
        }
    }
}
