//! What a live query may not do: see more than its topic, and cost more than its share (RTX-15, RTX-16).

use serde_json::json;

use super::listener::Listener;
use super::live::live;
use super::scene::{collection, create, id, start};

/// Whatever the filter says, a look at one record shows that record at most.
#[test]
fn a_filter_only_narrows_a_look_at_one_record() {
    let server = start();
    collection(&server, "posts", json!({ "listRule": null, "viewRule": "" }));
    let guest = server.guest();
    let post = create(&guest, "posts", json!({ "title": "seen" }));
    create(&guest, "posts", json!({ "title": "hidden" }));
    let one = format!("posts/{}", id(&post));
    for filter in ["id != '') //", "id != '') || (id != ''", "id != '' // )"] {
        for listener in &mut Listener::subscribed(&guest, &[&live(&one, json!({ "filter": filter }))]) {
            let (_, _, page) = listener.next();
            let items = page["items"].as_array().map_or(0, Vec::len);
            assert!(page["action"] == "error" || (items == 1 && page["totalItems"] == 1), "{filter}: {page}");
        }
    }
    for (filter, found) in [("id != '' || title != ''", json!([post])), ("title = 'hidden'", json!([]))] {
        for listener in &mut Listener::subscribed(&guest, &[&live(&one, json!({ "filter": filter }))]) {
            assert_eq!(listener.next().2["items"], found, "{filter}");
        }
    }
}
