//! Headwater's own settings, below the key `headwater` of the settings API.

use serde_json::{Value as Json, json};

use crate::harness::{Client, Server};

const SETTINGS: &str = "/api/settings";

fn own(superuser: &Client) -> Json {
    superuser.get(&format!("{SETTINGS}?fields=headwater")).ok()["headwater"].take()
}

fn defaults() -> Json {
    json!({
        "realtime": {
            "keepAlive": 25, "idleTimeout": 0, "maxLifetime": 0, "queueBytes": 262_144, "stallTimeout": 10
        },
        "changeLog": { "maxAge": 86_400, "maxBytes": 268_435_456 }
    })
}

#[test]
fn what_is_changed_is_kept_over_a_restart_and_the_rest_stays() {
    let server = Server::start();
    let superuser = server.superuser();
    assert_eq!(own(&superuser), defaults());
    let theirs = superuser.get(&format!("{SETTINGS}?fields=meta,batch,logs")).ok();

    let change = json!({ "headwater": {
        "realtime": { "keepAlive": 30, "idleTimeout": 300 }, "metricsToken": "0123456789abcdef"
    } });
    let answer = superuser.patch(SETTINGS, change);
    let mut expected = defaults();
    expected["realtime"]["keepAlive"] = json!(30);
    expected["realtime"]["idleTimeout"] = json!(300);
    assert_eq!(answer.ok()["headwater"], expected);
    assert!(!answer.text().contains("0123456789abcdef"), "the token is never told");
    // A change of other settings leaves them alone, and the other way round.
    superuser.patch(SETTINGS, json!({ "meta": { "appName": "Mine" } })).ok();
    assert_eq!(own(&superuser), expected);

    let server = Server::open(server.kill());
    assert_eq!(own(&server.superuser()), expected);
    let mut kept = theirs;
    kept["meta"]["appName"] = json!("Mine");
    assert_eq!(server.superuser().get(&format!("{SETTINGS}?fields=meta,batch,logs")).ok(), kept);
}

#[test]
fn a_change_that_is_refused_changes_neither_ours_nor_theirs() {
    let server = Server::start();
    let superuser = server.superuser();
    let before = superuser.get(SETTINGS).ok();
    let wrong = json!({
        "meta": { "appName": "x" },
        "headwater": {
            "realtime": { "keepAlive": 4, "idleTimeout": 9, "queueBytes": 100_000_000, "maxLifetime": 3600 },
            "changeLog": { "maxAge": 0 },
            "metricsToken": "short",
        }
    });
    let refused = superuser.patch(SETTINGS, wrong).refused(400);
    assert_eq!(refused["message"], "An error occurred while saving the new settings.");
    let least = |threshold: i64| {
        json!({
            "code": "validation_min_greater_equal_than_required",
            "message": format!("Must be no less than {threshold}."),
            "params": { "threshold": threshold }
        })
    };
    let most = json!({
        "code": "validation_max_less_equal_than_required",
        "message": "Must be no greater than 67108864.",
        "params": { "threshold": 67_108_864 }
    });
    let length = json!({
        "code": "validation_length_out_of_range",
        "message": "The length must be between 16 and 255.",
        "params": { "min": 16, "max": 255 }
    });
    let expected = json!({ "headwater": {
        "realtime": { "keepAlive": least(5), "idleTimeout": least(10), "queueBytes": most },
        "changeLog": { "maxAge": least(60) },
        "metricsToken": length,
    } });
    assert_eq!(refused["data"], expected);
    let wrong = superuser.patch(SETTINGS, json!({ "headwater": { "realtime": 5 } })).refused(400);
    assert_eq!(wrong["message"], "An error occurred while loading the submitted data.");
    let theirs = json!({ "meta": { "appName": "" }, "headwater": { "realtime": { "keepAlive": 30 } } });
    superuser.patch(SETTINGS, theirs).refused(400);
    assert_eq!(superuser.get(SETTINGS).ok(), before);
}
