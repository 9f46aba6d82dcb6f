//! Orders, as the reference answered them.

use super::fixture::*;
use crate::query::QueryError;
use crate::request::RequestInfo;

#[test]
fn orders() {
    let world = conformance_set();
    let cases = [
        ("title", "D C A B E"),
        ("-title", "E B A C D"),
        ("+n", "E D A B C"),
        ("-pub, +title", "A D C B E"),
        (" -n ", "C B A D E"),
        ("author.name,-n", "C E A D B"),
        ("-author.name,n", "B D A E C"),
        ("author.id,n", "E C D A B"),
        ("author.email,n", "E C D A B"),
        ("@rowid", "A B C D E"),
        ("-@rowid", "E D C B A"),
        ("meta.0", "A C D E B"),
        ("-meta.0,n", "B E D A C"),
        ("meta,n", "D E B C A"),
        ("loc.lon,-n", "C B D E A"),
        ("tags:length,n", "C E D A B"),
        ("-cat:length,n", "D A B E C"),
        ("title:lower", "D C A B E"),
        ("tags.name", "C D B A E"),
        ("comments_via_post.text,n", "E D C A B"),
        ("cat:each,n", "E C D A B"),
        ("title,n,pub,at,meta,cat,loc,id", "D C A B E"),
        ("", "A B C D E"),
    ];
    for (sort, expected) in cases {
        let found = world.find(&RequestInfo::default(), "posts", |select| select.sort(sort).map(drop));
        assert_eq!(found.as_deref(), Ok(expected), "{sort}");
    }
    let mut found = world.find(&RequestInfo::default(), "posts", |select| select.sort("-@random").map(drop)).unwrap();
    found.retain(|c| c != ' ');
    assert_eq!(found.len(), 5);
}

#[test]
fn orders_that_are_refused() {
    let world = conformance_set();
    let long = "a".repeat(256);
    let cases = [
        "n,",
        ",n",
        "@random,",
        "nope",
        "hid",
        "author.secret",
        "password",
        "@now",
        "null",
        "true",
        "priv_via_post.id",
        "title,n,pub,at,meta,cat,loc,id,body",
        "--n",
        "-+n",
        "n-",
        "title.x",
        &long,
        "strftime('%Y',at)",
        "title desc",
        "n;",
        "collectionId",
        "@collection",
        "@rowid.x",
    ];
    for sort in cases {
        let found = world.find(&RequestInfo::default(), "posts", |select| select.sort(sort).map(drop));
        assert!(matches!(found, Err(QueryError::Invalid(_))), "{sort}: {found:?}");
    }
    for sort in ["@request.auth.id", "@collection.tags.name", "@request.method,n", "@request."] {
        let found = world.find(&RequestInfo::default(), "posts", |select| select.sort(sort).map(drop));
        let expected = matches!(found, Err(QueryError::Forbidden(_)) | Err(QueryError::Invalid(_)));
        assert!(expected, "{sort}: {found:?}");
    }
}
