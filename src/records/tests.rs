//! The life of records inside one process: hooks, consequences, concurrency. What clients see is tested over HTTP.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_actors::{Action, Value};
use serde_json::{Map, Value as Json, json};

use super::hooks::RecordEvent;
use super::write::{create_by_system, delete_by_system, update_by_system};
use super::*;
use crate::app::{App, Config};
use crate::hooks::{Handler, Next};
use crate::request::{Caller, RequestInfo};
use crate::schema::{self, Collection};

/// Runs a test with an app on a directory of its own.
fn with_app<F: Future<Output = ()>>(test: impl FnOnce(App) -> F) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("headwater-records-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let dir: PathBuf = std::env::temp_dir().join(name);
    actix::System::new().block_on(async {
        let config = Config { dir: dir.clone(), query_timeout: Duration::from_secs(10), origins: Vec::new() };
        let app = App::open(config).unwrap();
        test(app.clone()).await;
        app.close().await;
    });
    let _ = std::fs::remove_dir_all(dir);
}

fn map(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        other => panic!("{other} is no object"),
    }
}

async fn collection(app: &App, json: Json) -> Arc<Collection> {
    let rules = json!({ "listRule": "", "viewRule": "", "createRule": "", "updateRule": "", "deleteRule": "" });
    let mut definition = map(rules);
    definition.extend(map(json));
    schema::save::create(app, definition).await.map_err(|error| error.to_string()).unwrap().clone()
}

async fn create(app: &App, collection: &Arc<Collection>, values: Json) -> Result<Record, RecordError> {
    let written = write::create(app, collection, map(values).into(), RequestInfo::default()).await?;
    Ok(written.record)
}

/// All rows of a collection, by id.
async fn rows(app: &App, name: &str) -> Vec<String> {
    let sql = format!("SELECT id FROM \"{name}\" ORDER BY id");
    let read = app.readers.run(move |conn| {
        let mut statement = conn.prepare(&sql).unwrap();
        let ids = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        ids.map(Result::unwrap).collect::<Vec<_>>()
    });
    read.await.unwrap()
}

type Trace = Arc<Mutex<Vec<String>>>;

fn traced(trace: &Trace, name: &'static str) -> Handler<RecordEvent, RecordError> {
    let trace = trace.clone();
    Handler::new(move |event: &mut RecordEvent, next: Next<'_, RecordEvent, RecordError>| {
        trace.lock().unwrap().push(format!("{name} {}", event.action.as_str()));
        next(event)?;
        trace.lock().unwrap().push(format!("/{name}"));
        Ok(())
    })
}

#[test]
fn hooks_surround_a_write_in_the_order_of_its_stages() {
    with_app(|app| async move {
        let posts = collection(&app, json!({ "name": "posts", "fields": [{ "name": "title", "type": "text" }] })).await;
        let trace = Trace::default();
        for stages in [&app.record_hooks.create, &app.record_hooks.update, &app.record_hooks.delete] {
            stages.request.bind(traced(&trace, "request"));
            stages.write.bind(traced(&trace, "write"));
            stages.execute.bind(traced(&trace, "execute"));
            stages.after_success.bind(traced(&trace, "after"));
        }
        app.record_hooks.validate.bind(traced(&trace, "validate"));
        let take = || std::mem::take(&mut *trace.lock().unwrap()).join(" ");

        let record = create(&app, &posts, json!({ "title": "a" })).await.unwrap();
        let saved = "validate ACTION /validate execute ACTION /execute /write after ACTION /after /request";
        assert_eq!(take(), format!("request ACTION write ACTION {saved}").replace("ACTION", "create"));

        let input = map(json!({ "title": "b" })).into();
        write::update(&app, &posts, record.id(), input, RequestInfo::default()).await.unwrap();
        assert_eq!(take(), format!("request ACTION write ACTION {saved}").replace("ACTION", "update"));

        write::delete(&app, &posts, record.id(), RequestInfo::default()).await.unwrap();
        let saved = "write ACTION execute ACTION /execute /write after ACTION /after /request";
        assert_eq!(take(), format!("request ACTION {saved}").replace("ACTION", "delete"));
    });
}

#[test]
fn a_commit_is_told_although_its_caller_went_away() {
    use futures_util::FutureExt;

    with_app(|app| async move {
        let posts = collection(&app, json!({ "name": "posts", "fields": [] })).await;
        let trace = Trace::default();
        app.record_hooks.create.after_success.bind(traced(&trace, "after"));
        // The write is under way after the first poll, and then its caller is dropped.
        assert!(create(&app, &posts, json!({})).boxed_local().now_or_never().is_none());
        for _ in 0..500 {
            if !trace.lock().unwrap().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(*trace.lock().unwrap(), ["after create", "/after"]);
        assert_eq!(rows(&app, "posts").await.len(), 1);
    });
}

#[test]
fn paths_there_and_back_again_do_not_multiply_without_end() {
    fn count(record: &Record) -> usize {
        let expanded = record.expand.iter().flat_map(|expand| expand.values());
        let inner = expanded.map(|expanded| match expanded {
            Expanded::One(record) => count(record),
            Expanded::Many(records) => records.iter().map(count).sum(),
        });
        1 + inner.sum::<usize>()
    }

    with_app(|app| async move {
        let posts = collection(&app, json!({ "name": "posts", "fields": [] })).await;
        let post = json!({ "name": "post", "type": "relation", "collectionId": posts.id, "maxSelect": 1 });
        collection(&app, json!({ "name": "comments", "fields": [post] })).await;
        let post = create(&app, &posts, json!({})).await.unwrap();
        let sql = "INSERT INTO comments (id, post) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
                   WHERE i < 400) SELECT 'comment' || (10000000 + i), ?1 FROM n";
        let id = post.id().to_owned();
        let job = move |tx: &mut headwater_actors::Tx<'_>| tx.conn().execute(sql, [id]);
        app.writer.run(headwater_actors::JobLimits::ONE, job).await.unwrap();

        let (schema, mut records) = (app.schema.current(), [post]);
        let paths = "comments_via_post.post.comments_via_post.post";
        let read = app.readers.run(move |conn| {
            expand::expand(conn, &schema, &mut records, paths, &RequestInfo::default()).map(|()| records)
        });
        let [post] = read.await.unwrap().unwrap();
        assert!((401..=100_001).contains(&count(&post)), "{}", count(&post));
        let comments = post.expand.as_ref().and_then(|expand| expand.get("comments_via_post"));
        assert!(matches!(comments, Some(Expanded::Many(comments)) if comments.len() == 400));
    });
}

#[test]
fn hooks_change_what_is_written() {
    with_app(|app| async move {
        let fields = json!([{ "name": "title", "type": "text", "max": 9 }, { "name": "n", "type": "number" }]);
        let posts = collection(&app, json!({ "name": "posts", "fields": fields })).await;
        let append = |text: &'static str| {
            Handler::new(move |event: &mut RecordEvent, next: Next<'_, RecordEvent, RecordError>| {
                let title = format!("{}{text}", event.record.text("title"));
                event.record.set("title", title);
                next(event)
            })
        };
        app.record_hooks.create.request.bind(append("r"));
        app.record_hooks.create.execute.bind(append("x").tags(["posts"]));
        app.record_hooks.create.execute.bind(append("never").tags(["others"]));
        app.record_hooks.update.request.bind(append("u"));

        let record = create(&app, &posts, json!({ "title": "a" })).await.unwrap();
        assert_eq!(record.text("title"), "arx");
        let stored = {
            let input = map(json!({ "n+": 2 })).into();
            write::update(&app, &posts, record.id(), input, RequestInfo::default()).await.unwrap().record
        };
        assert_eq!((stored.text("title"), stored.get("n")), ("arxu", Some(&Value::Integer(2))));
        // What a hook sets is checked like what a client sends.
        let refused = create(&app, &posts, json!({ "title": "123456789" })).await.unwrap_err();
        assert!(matches!(refused, RecordError::Failed(_, errors) if errors.contains("title")));
        assert_eq!(rows(&app, "posts").await, [record.id()]);
    });
}

#[test]
fn a_hook_that_swallows_a_write_makes_it_fail_without_an_event() {
    with_app(|app| async move {
        let posts = collection(&app, json!({ "name": "posts", "fields": [] })).await;
        let before = app.writer.position();
        for hook in [
            &app.record_hooks.create.request,
            &app.record_hooks.create.write,
            &app.record_hooks.validate,
            &app.record_hooks.create.execute,
        ] {
            hook.bind(Handler::new(|_: &mut RecordEvent, _| Ok(())).id("swallows"));
            assert!(matches!(create(&app, &posts, json!({})).await, Err(RecordError::Failed(..))));
            hook.unbind("swallows");
        }
        assert_eq!(app.writer.position(), before);
        create(&app, &posts, json!({})).await.unwrap();
    });
}

#[test]
fn no_update_is_lost_and_no_field_either() {
    with_app(|app| async move {
        let fields = json!([{ "name": "n", "type": "number" }, { "name": "a", "type": "text" },
            { "name": "tags", "type": "select", "values": ["x", "y", "z"], "maxSelect": 3 }]);
        let posts = collection(&app, json!({ "name": "posts", "fields": fields })).await;
        let record = create(&app, &posts, json!({ "n": 1 })).await.unwrap();
        let update =
            |values: Json| write::update(&app, &posts, record.id(), map(values).into(), RequestInfo::default());
        let mut updates = Vec::new();
        for round in 0..50 {
            updates.push(update(json!({ "n+": 1 })));
            updates.push(update(json!({ "a": round.to_string() })));
            let tag = ["x", "y", "z"][round % 3];
            updates.push(update(json!({ "tags+": tag })));
            updates.push(update(json!({ "n-": 0.5 })));
        }
        for result in futures_util::future::join_all(updates).await {
            result.unwrap();
        }
        let last = update(json!({})).await.unwrap().record;
        assert_eq!(last.get("n"), Some(&Value::Integer(26)));
        assert_eq!(last.text("a"), "49");
        let mut tags = last.list("tags");
        tags.sort();
        assert_eq!(tags, ["x", "y", "z"]);
    });
}

#[test]
fn deleting_follows_references_of_any_shape_and_length() {
    with_app(|app| async move {
        let nodes = collection(&app, json!({ "name": "nodes", "fields": [] })).await;
        let relation = json!({ "name": "next", "type": "relation", "collectionId": nodes.id, "maxSelect": 1, "cascadeDelete": true });
        let fields = schema::save::update(
            &app,
            "nodes".into(),
            map(json!({ "fields": [{ "name": "id", "type": "text",
            "primaryKey": true, "required": true, "system": true, "min": 1, "max": 15, "pattern": "^[a-z0-9]+$",
            "autogeneratePattern": "[a-z0-9]{15}" }, relation] })),
        );
        let nodes = fields.await.map_err(|error| error.to_string()).unwrap().clone();
        // A chain far longer than any stack would bear, closed to a ring.
        const LENGTH: usize = 5000;
        let ids: Vec<String> = (0..LENGTH).map(|number| format!("node{number:06}")).collect();
        let sql_ids = ids.clone();
        app.writer
            .run::<_, rusqlite::Error, _>(headwater_actors::JobLimits::MANY, move |tx| {
                for (number, id) in sql_ids.iter().enumerate() {
                    let next = &sql_ids[(number + 1) % LENGTH];
                    tx.conn().execute("INSERT INTO nodes (id, next) VALUES (?1, ?2)", [id, next])?;
                }
                tx.conn().execute("CREATE INDEX next ON nodes (next)", [])?;
                Ok(())
            })
            .await
            .unwrap();
        let before = app.writer.position().seq.0;
        delete_by_system(&app, &nodes, &ids[17]).await.unwrap();
        assert_eq!(rows(&app, "nodes").await, Vec::<String>::new());
        // Each has a change of its own.
        assert_eq!(app.writer.position().seq.0 - before, LENGTH as u64);
    });
}

#[test]
fn a_deletion_that_may_spread_shares_its_transaction_with_no_other_write() {
    with_app(|app| async move {
        let limits = |name: &str| {
            let schema = app.schema.current();
            let (collection, request) = (schema.find(name).unwrap(), RequestInfo::default());
            delete::Delete::prepare(&schema, collection, "x", &request, Authority::System).unwrap().limits(&app)
        };
        let relation = |to: &Collection| json!([{ "name": "of", "type": "relation", "collectionId": to.id }]);
        let posts = collection(&app, json!({ "name": "posts", "fields": [] })).await;
        assert!(limits("posts").single_statement && !limits("users").alone);
        collection(&app, json!({ "name": "comments", "fields": relation(&posts) })).await;
        assert!(limits("posts").alone && !limits("comments").alone && !limits("users").alone);
        let schema = app.schema.current();
        collection(&app, json!({ "name": "codes", "fields": relation(schema.find("_otps").unwrap()) })).await;
        assert!(limits("users").alone, "their codes go with them, and then what refers to these");
    });
}

#[test]
fn no_password_is_hashed_for_who_may_not_write() {
    with_app(|app| async move {
        let definition = json!({
            "name": "members", "type": "auth",
            "fields": [{ "name": "name", "type": "text" }, { "name": "n", "type": "number" }],
            "createRule": "@request.auth.id != ''",
            "updateRule": "id = @request.auth.id || name = 'open' || (@request.body.n = 2 && name = 'counted')",
        });
        let users = collection(&app, definition).await;
        let user = async |name: &str| {
            let values = json!({ "email": format!("{name}@example.com"), "password": "12345678", "name": name });
            create_by_system(&app, &users, map(values)).await.unwrap().id().to_owned()
        };
        let (closed, open, counted) = (user("closed").await, user("open").await, user("counted").await);
        app.hasher.refuse();
        let new = json!({ "password": "another one", "passwordConfirm": "another one", "oldPassword": "12345678" });
        let update = async |id: &str, more: Json| {
            let mut values = map(new.clone());
            values.extend(map(more));
            write::update(&app, &users, id, values.into(), RequestInfo::default()).await
        };
        // The last one by a rule that reads the body over what is stored.
        for (id, more) in [(&*closed, json!({})), ("nobody", json!({})), (&*counted, json!({ "n+": 1 }))] {
            let refused = update(id, more).await;
            assert!(matches!(refused, Err(RecordError::NotFound)), "{id}: {refused:?}");
        }
        let created = create(&app, &users, json!({ "password": "12345678", "passwordConfirm": "12345678" })).await;
        assert!(matches!(created, Err(RecordError::Failed(Action::Create, _))), "{created:?}");
        for (id, more) in [(&*open, json!({})), (&*counted, json!({ "n+": 2 }))] {
            let reached = update(id, more).await;
            assert!(matches!(reached, Err(RecordError::Overloaded)), "{id}: {reached:?}");
        }
    });
}

#[test]
fn changed_credentials_end_tokens_and_what_hangs_on_them() {
    with_app(|app| async move {
        let schema = app.schema.current();
        let users = schema.find("users").unwrap();
        let sides = ["_otps", "_mfas", "_authOrigins", "_externalAuths"];
        let user = create_by_system(&app, users, map(json!({ "email": "a@example.com", "password": "12345678" })));
        let user = user.await.unwrap();
        assert_eq!(user.text("tokenKey").len(), 50);
        assert!(user.text("password").starts_with('$'), "{}", user.text("password"));

        let fill = async || {
            for side in sides {
                let values = json!({ "collectionRef": users.id, "recordRef": user.id(), "password": "123456",
                    "method": "password", "fingerprint": "f", "provider": "p", "providerId": "i" });
                let side = schema.find(side).unwrap();
                let values = map(values).into_iter().filter(|(key, _)| side.field(key).is_some()).collect();
                // Those that are still there are there.
                let _ = create_by_system(&app, side, values).await;
            }
        };
        let left = async || {
            let mut left = Vec::new();
            for side in sides {
                if !rows(&app, side).await.is_empty() {
                    left.push(side);
                }
            }
            left
        };
        let mut key = user.text("tokenKey").to_owned();
        for (values, is_renewed, expected) in [
            (json!({ "name": "x" }), false, &sides[..]),
            (json!({ "emailVisibility": true }), false, &sides[..]),
            (json!({ "email": "b@example.com" }), true, &["_mfas", "_authOrigins", "_externalAuths"][..]),
            (json!({ "password": "87654321" }), true, &["_externalAuths"][..]),
            (json!({ "verified": true }), true, &["_mfas", "_authOrigins"][..]),
            (json!({ "verified": false }), false, &sides[..]),
            (json!({ "tokenKey": "k".repeat(50) }), true, &["_mfas", "_authOrigins", "_externalAuths"][..]),
        ] {
            fill().await;
            let after = update_by_system(&app, users, user.id(), map(values.clone())).await.unwrap();
            assert_eq!(after.text("tokenKey") != key, is_renewed, "{values}");
            assert_eq!(left().await, expected, "{values}");
            key = after.text("tokenKey").to_owned();
        }
        fill().await;
        delete_by_system(&app, users, user.id()).await.unwrap();
        assert_eq!(left().await, Vec::<&str>::new());
    });
}

#[test]
fn the_first_superuser_dismisses_the_installer_and_the_last_one_stays() {
    with_app(|app| async move {
        let schema = app.schema.current();
        let superusers = schema.find("_superusers").unwrap();
        let add =
            |email: &str| create_by_system(&app, superusers, map(json!({ "email": email, "password": "1234567890" })));
        for id in rows(&app, "_superusers").await {
            let sql = format!("DELETE FROM _superusers WHERE id = '{id}'");
            let job = move |tx: &mut headwater_actors::Tx<'_>| tx.conn().execute(&sql, []);
            app.writer.run(headwater_actors::JobLimits::ONE, job).await.unwrap();
        }
        let installer = add("__pbinstaller@example.com").await.unwrap();
        assert!(installer.flag("verified"));
        let first = add("a@example.com").await.unwrap();
        assert_eq!(rows(&app, "_superusers").await, [first.id()]);
        let refused = delete_by_system(&app, superusers, first.id()).await.unwrap_err();
        assert_eq!(refused.to_string(), "You can't delete the only existing superuser.");
        add("b@example.com").await.unwrap();
        delete_by_system(&app, superusers, first.id()).await.unwrap();
    });
}

/// What slows searches down that guess at what a rule hides: see `http::records`.
#[test]
fn a_search_in_vain_is_one_that_a_rule_narrows() {
    with_app(|app| async move {
        let fields = json!([{ "name": "title", "type": "text" }]);
        let open = collection(&app, json!({ "name": "open", "fields": fields })).await;
        let rule = "title != 'hidden'";
        let ruled = collection(&app, json!({ "name": "ruled", "listRule": rule, "fields": fields })).await;
        for collection in [&open, &ruled] {
            for title in ["hidden", "shown"] {
                create_by_system(&app, collection, map(json!({ "title": title }))).await.unwrap();
            }
        }
        let superusers = app.schema.current().find(schema::SUPERUSERS).unwrap().clone();
        let superuser = Caller::of(Arc::new(Record::blank(superusers)));
        for (collection, caller, filter, expected) in [
            (&ruled, Caller::GUEST, "title = 'hidden'", true),
            (&ruled, Caller::GUEST, "title = 'none'", true),
            (&ruled, Caller::GUEST, "title = 'shown'", false),
            (&ruled, Caller::GUEST, "", false),
            (&open, Caller::GUEST, "title = 'none'", false),
            (&ruled, superuser, "title = 'none'", false),
        ] {
            let query = [("filter".to_owned(), filter.to_owned())].into();
            let list = read::list(&app, collection, RequestInfo { query, caller, ..RequestInfo::default() }).await;
            assert_eq!(list.unwrap().is_empty_search, expected, "{} {filter}", collection.name);
        }
    });
}
