//! Rules that are answered in memory, and callers who are found by an index: each sees exactly what is his, also when the
//! rule, the record or he himself changes; and the explanation of it.

use serde_json::{Value as Json, json};

use super::scene::{collection, create, delete, id, nothing_came, start, update, user};
use crate::harness::{Client, Server, Stream, query};

/// More than the hub asks about one by one.
const CROWD: usize = 20;

const OWN: &str = "@request.auth.id != '' && owner = @request.auth.id";

/// `tasks` with an owner, for whom this rule lets see them.
fn tasks(server: &Server, rule: &str) {
    let users = server.superuser().get("/api/collections/users").ok()["id"].clone();
    let owner = json!({ "name": "owner", "type": "relation", "collectionId": users, "maxSelect": 1 });
    let helper = json!({ "name": "helper", "type": "relation", "collectionId": users, "maxSelect": 1 });
    let members = json!({ "name": "members", "type": "relation", "collectionId": users, "maxSelect": 99 });
    let fields = json!([owner, helper, members]);
    collection(server, "tasks", json!({ "listRule": rule, "viewRule": rule, "fields": fields }));
}

fn set_rule(server: &Server, rule: &str) {
    server.superuser().patch("/api/collections/tasks", json!({ "listRule": rule, "viewRule": rule })).ok();
}

/// Users, each with a client and a stream on all tasks.
fn crowd(server: &Server) -> Vec<(Json, Client, Stream)> {
    (0..CROWD)
        .map(|number| {
            let (record, client) = user(server, &format!("u{number}"));
            let stream = Stream::subscribed(&client, &["tasks/*", "marks/*"]);
            (record, client, stream)
        })
        .collect()
}

/// Those of a crowd who hear of a change, by their places. The change must be the last one.
fn hearers(server: &Server, crowd: &mut [(Json, Client, Stream)]) -> Vec<usize> {
    let mark = create(&server.guest(), "marks", json!({}));
    let mut heard = Vec::new();
    for (place, (_, _, stream)) in crowd.iter_mut().enumerate() {
        loop {
            let event = stream.next();
            match event.name.as_str() {
                "marks/*" => break assert_eq!(event.record()["id"], mark["id"]),
                _ => heard.push(place),
            }
        }
    }
    heard
}

#[test]
fn an_owner_rule_delivers_to_exactly_the_owner() {
    let server = start();
    tasks(&server, OWN);
    let mut crowd = crowd(&server);
    let mut guest = Stream::subscribed(&server.guest(), &["tasks/*", "marks/*"]);
    let superuser = server.superuser();
    let mut all = Stream::subscribed(&superuser, &["tasks/*", "marks/*"]);
    let own = |place: usize, crowd: &[(Json, Client, Stream)]| crowd[place].0["id"].clone();
    for place in [3, 0, CROWD - 1] {
        let owner = own(place, &crowd);
        let made = create(&superuser, "tasks", json!({ "owner": owner }));
        assert_eq!(hearers(&server, &mut crowd), [place]);
        // The new owner hears of it, the old one no more.
        update(&superuser, "tasks", id(&made), json!({ "owner": own(7, &crowd) }));
        assert_eq!(hearers(&server, &mut crowd), [7]);
        delete(&superuser, "tasks", id(&made));
        assert_eq!(hearers(&server, &mut crowd), [7]);
        for action in ["create", "update", "delete"] {
            assert_eq!(all.next().action(), action);
            assert_eq!(all.next().name, "marks/*");
        }
    }
    create(&superuser, "tasks", json!({}));
    assert_eq!(hearers(&server, &mut crowd), [0; 0]);
    // Nine marks and nobody's task.
    (0..10).for_each(|_| assert_eq!(guest.next().name, "marks/*"));
    nothing_came(&server, &mut guest);
}

#[test]
fn whoever_comes_and_goes_is_found_or_not() {
    let server = start();
    tasks(&server, OWN);
    let mut crowd = crowd(&server);
    let superuser = server.superuser();
    let (last, client, _) = crowd.pop().unwrap();
    create(&superuser, "tasks", json!({ "owner": last["id"] }));
    assert_eq!(hearers(&server, &mut crowd), [0; 0]);
    let stream = Stream::subscribed(&client, &["tasks/*", "marks/*"]);
    crowd.push((last, client, stream));
    create(&superuser, "tasks", json!({ "owner": crowd[CROWD - 1].0["id"] }));
    assert_eq!(hearers(&server, &mut crowd), [CROWD - 1]);
    // Without the topic, and with it again.
    let (_, client, stream) = &crowd[5];
    stream.subscribe(client, &["marks/*"]).ok();
    create(&superuser, "tasks", json!({ "owner": crowd[5].0["id"] }));
    assert_eq!(hearers(&server, &mut crowd), [0; 0]);
    let (_, client, stream) = &crowd[5];
    stream.subscribe(client, &["marks/*", "tasks/*"]).ok();
    create(&superuser, "tasks", json!({ "owner": crowd[5].0["id"] }));
    assert_eq!(hearers(&server, &mut crowd), [5]);
}

#[test]
fn listeners_follow_a_change_of_the_rule_and_of_its_fields() {
    let server = start();
    tasks(&server, OWN);
    let mut crowd = crowd(&server);
    let superuser = server.superuser();
    let ids: Vec<Json> = crowd.iter().map(|(record, _, _)| record["id"].clone()).collect();
    let task = json!({ "owner": ids[1], "helper": ids[2], "members": [ids[3], ids[4]], "n": 1 });
    let everybody: Vec<usize> = (0..CROWD).collect();
    let cases: [(&str, &[usize]); 9] = [
        (OWN, &[1]),
        ("helper = @request.auth.id", &[2]),
        ("owner = @request.auth.id || @request.auth.id = helper", &[1, 2]),
        ("n = 1 || owner = @request.auth.id", &everybody),
        ("n = 2 || owner = @request.auth.id", &[1]),
        ("members ~ @request.auth.id", &[3, 4]),
        ("members.id ?= @request.auth.id || owner = @request.auth.id", &[1, 3, 4]),
        ("owner.name = 'u1' && owner = @request.auth.id", &[1]),
        ("owner = @request.auth.id && (helper.name = 'nobody' || n > 5)", &[]),
    ];
    for (rule, expected) in cases {
        set_rule(&server, rule);
        create(&superuser, "tasks", task.clone());
        assert_eq!(hearers(&server, &mut crowd), expected, "{rule}");
    }
    // The field goes, and comes again as another one.
    set_rule(&server, "n > 0");
    let fields = superuser.get("/api/collections/tasks").ok()["fields"].as_array().unwrap().clone();
    let others: Vec<Json> = fields.iter().filter(|field| field["name"] != "owner").cloned().collect();
    superuser.patch("/api/collections/tasks", json!({ "fields": others })).ok();
    let text = json!({ "name": "owner", "type": "text" });
    let fields: Vec<Json> = [text].into_iter().chain(others).collect();
    superuser.patch("/api/collections/tasks", json!({ "fields": fields, "listRule": "owner = @request.auth.id" })).ok();
    create(&superuser, "tasks", json!({ "owner": ids[6], "n": 0 }));
    assert_eq!(hearers(&server, &mut crowd), [6]);
}

#[test]
fn rules_with_relations_are_answered_for_all_at_once() {
    let server = start();
    let superuser = server.superuser();
    let users = superuser.get("/api/collections/users").ok()["id"].clone();
    let boss = json!({ "name": "boss", "type": "relation", "collectionId": users, "maxSelect": 1 });
    let members = json!({ "name": "members", "type": "relation", "collectionId": users, "maxSelect": 99 });
    let teams = collection(&server, "teams", json!({ "fields": [boss, members] }));
    let team = json!({ "name": "team", "type": "relation", "collectionId": teams["id"], "maxSelect": 1 });
    let hidden = json!({ "name": "secret", "type": "text", "hidden": true });
    collection(&server, "tasks", json!({ "fields": [team, hidden] }));
    let mut crowd = crowd(&server);
    let mut all = Stream::subscribed(&superuser, &["tasks/*"]);
    let ids: Vec<Json> = crowd.iter().map(|(record, _, _)| record["id"].clone()).collect();
    let team = create(&superuser, "teams", json!({ "boss": ids[2], "members": [ids[5], ids[6]] }));
    let everybody: Vec<usize> = (0..CROWD).collect();
    let cases: [(&str, &[usize]); 9] = [
        ("team.boss = @request.auth.id", &[2]),
        ("team.members.id ?= @request.auth.id", &[5, 6]),
        ("@request.auth.id != '' && (team.boss = @request.auth.id || team.members.id ?= @request.auth.id)", &[2, 5, 6]),
        ("team.boss.name = 'u2' && @request.auth.name > 'u8'", &[9]),
        ("team.boss.name = 'u2'", &everybody),
        ("team.boss = @request.auth.id || @request.auth.name = 'u4'", &[2, 4]),
        ("team.boss = @request.auth.id && @request.auth.name = 'u4'", &[]),
        ("team.boss.name = 'u3' || n = 2", &[]),
        // Not for all at once: every member counts.
        ("team.members.id = @request.auth.id || team.boss = @request.auth.id", &[2]),
    ];
    for (rule, expected) in cases {
        set_rule(&server, rule);
        create(&superuser, "tasks", json!({ "team": team["id"], "secret": "s" }));
        assert_eq!(all.next().record()["secret"], "s");
        let mark = create(&server.guest(), "marks", json!({}));
        let mut heard = Vec::new();
        for (place, (_, _, stream)) in crowd.iter_mut().enumerate() {
            loop {
                let event = stream.next();
                if event.name == "marks/*" {
                    break assert_eq!(event.record()["id"], mark["id"]);
                }
                assert!(event.record().get("secret").is_none(), "{rule}");
                heard.push(place);
            }
        }
        assert_eq!(heard, expected, "{rule}");
    }
    // Who leaves a team does not hear of its tasks any more.
    set_rule(&server, "team.members.id ?= @request.auth.id");
    update(&superuser, "teams", id(&team), json!({ "members": [ids[7]] }));
    create(&superuser, "tasks", json!({ "team": team["id"] }));
    assert_eq!(hearers(&server, &mut crowd), [7]);
}

#[test]
fn listeners_follow_a_change_of_their_own_record() {
    let server = start();
    tasks(&server, "title = @request.auth.name || (@request.auth.verified = true && n = 9)");
    let mut crowd = crowd(&server);
    let superuser = server.superuser();
    create(&superuser, "tasks", json!({ "title": "u4" }));
    assert_eq!(hearers(&server, &mut crowd), [4]);
    update(&superuser, "users", id(&crowd[4].0), json!({ "name": "new" }));
    update(&superuser, "users", id(&crowd[8].0), json!({ "name": "u4" }));
    create(&superuser, "tasks", json!({ "title": "u4" }));
    assert_eq!(hearers(&server, &mut crowd), [8]);
    create(&superuser, "tasks", json!({ "title": "new" }));
    assert_eq!(hearers(&server, &mut crowd), [4]);
    // Now it is not his name alone that says what he sees.
    update(&superuser, "users", id(&crowd[2].0), json!({ "verified": true }));
    create(&superuser, "tasks", json!({ "title": "u3", "n": 9 }));
    assert_eq!(hearers(&server, &mut crowd), [2, 3]);
    update(&superuser, "users", id(&crowd[2].0), json!({ "verified": false }));
    create(&superuser, "tasks", json!({ "title": "u3", "n": 9 }));
    assert_eq!(hearers(&server, &mut crowd), [3]);
    // Nobody any more, and with nobody's name.
    superuser.patch("/api/collections/users", json!({ "authToken": { "secret": "s".repeat(40) } })).ok();
    create(&superuser, "tasks", json!({ "title": "u3" }));
    assert_eq!(hearers(&server, &mut crowd), [0; 0]);
}

#[test]
fn filters_are_asked_beside_the_rule() {
    let server = start();
    tasks(&server, "owner = @request.auth.id");
    let (ann, client) = user(&server, "ann");
    let options = |filter: &str| {
        format!("tasks/*?{}", query(&[("options", &json!({ "query": { "filter": filter } }).to_string())]))
    };
    let topics =
        [options("n > 5"), options("title ~ 'A%' || n = 1"), options("owner.name = 'ann'"), options("nope = 1")];
    let listened: Vec<&str> = topics.iter().map(String::as_str).chain(["marks/*"]).collect();
    let mut stream = Stream::subscribed(&client, &listened);
    server.superuser().patch("/api/collections/users", json!({ "listRule": "" })).ok();
    for (task, expected) in [
        (json!({ "n": 6 }), vec![&topics[0]]),
        (json!({ "n": 1 }), vec![&topics[1]]),
        (json!({ "title": "alpha", "n": 7 }), vec![&topics[0], &topics[1]]),
        (json!({ "n": 6, "owner": "" }), vec![]),
    ] {
        let mut task = task;
        let is_own = task.get("owner").is_none();
        if is_own {
            task["owner"] = ann["id"].clone();
        }
        create(&server.superuser(), "tasks", task);
        let mut expected: Vec<String> = expected.into_iter().cloned().collect();
        if is_own {
            expected.push(topics[2].clone());
        }
        let mut heard: Vec<String> = expected.iter().map(|_| stream.next().name).collect();
        heard.sort_unstable();
        expected.sort_unstable();
        assert_eq!(heard, expected);
        nothing_came(&server, &mut stream);
    }
}

#[test]
fn rules_are_explained_to_superusers() {
    let server = start();
    tasks(&server, "owner = @request.auth.id || owner.name = 'x'");
    let superuser = server.superuser();
    let rules = json!({
        "viewRule": OWN, "createRule": "", "updateRule": "owner = @request.auth.id", "deleteRule": null,
    });
    superuser.patch("/api/collections/tasks", rules).ok();
    let path = "/api/collections/tasks/rules/explain";
    let explained = superuser.get(path).ok();
    let rule = |rule: Json, answered: &str, sql: Json, index: Json| json!({ "rule": rule, "answered": answered, "sql": sql, "index": index });
    let mut list = rule(
        json!("owner = @request.auth.id || owner.name = 'x'"),
        "by SQL",
        json!([{ "part": "owner.name = 'x'", "reason": "it follows a relation" }]),
        json!(["owner = @request.auth.id"]),
    );
    list["together"] = json!(true);
    let of_a_write = "a write asks it within its own transaction; events do not";
    assert_eq!(
        explained,
        json!({
            "collection": "tasks",
            "rules": {
                "list": list,
                "view": rule(json!(OWN), "in memory", json!([]), json!(["owner = @request.auth.id"])),
                "create": rule(json!(""), "open", json!([]), json!([])),
                "update": rule(
                    json!("owner = @request.auth.id"),
                    "by SQL",
                    json!([{ "part": "owner = @request.auth.id", "reason": of_a_write }]),
                    json!([]),
                ),
                "delete": rule(json!(null), "superusers only", json!([]), json!([])),
            },
        })
    );
    let by_id = superuser.get("/api/collections/tasks").ok()["id"].as_str().unwrap().to_owned();
    assert_eq!(superuser.get(&format!("/api/collections/{by_id}/rules/explain")).ok(), explained);
    superuser.patch("/api/collections/users", json!({ "manageRule": "id = @request.auth.id" })).ok();
    let users = superuser.get("/api/collections/users/rules/explain?fields=rules.manage").ok();
    let manage = rule(json!("id = @request.auth.id"), "in memory", json!([]), json!(["id = @request.auth.id"]));
    assert_eq!(users, json!({ "rules": { "manage": manage } }));

    superuser.get("/api/collections/nothing/rules/explain").refused(404);
    let (_, ann) = user(&server, "ann");
    for client in [server.guest(), ann] {
        let (own, api) = (client.get(path), client.get("/api/collections/tasks"));
        assert_eq!((own.status, own.json()), (api.status, api.json()));
    }
}
