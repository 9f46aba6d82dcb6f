//! A page of the collections. The rows are found by the query language like records; but only six of their keys may be
//! named, and nothing else of the language's reach.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use crate::http::{ApiError, answer, extract};
use crate::query::tree::{Filter, Operand};
use crate::query::{self, Base, Select};
use crate::records::pick::Fields;
use crate::records::read::Page;
use crate::request::{Context, RequestInfo};
use crate::schema::fields::{Bool, Text};
use crate::schema::{Collection, CollectionKind, Field, FieldKind};

/// What filters and sorts may name.
const KEYS: [&str; 6] = ["id", "created", "updated", "name", "system", "type"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    items: Vec<Arc<Collection>>,
    page: i64,
    per_page: i64,
    total_items: i64,
    total_pages: i64,
}

pub async fn list(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    extract::require_superuser(&request)?;
    let request_info = extract::info(&request, Context::Default);
    let page = Page::of(&request_info)?;
    let (rows, count) = statements(&request_info, &page).ok_or(ApiError::bad_request(""))?;

    let app = extract::app(&request);
    let schema = app.schema.current();
    let found = app.readers.run(move |conn| {
        let records = rows.records(conn, &table())?;
        let total = if page.skip_total { -1 } else { count.run(conn)? as i64 };
        let items = records.iter().filter_map(|record| schema.by_id(record.id()).cloned()).collect();
        Ok::<_, rusqlite::Error>((items, total))
    });
    let (items, total) = found.await?.map_err(|error| {
        log::debug!("collections: {error}");
        ApiError::bad_request("")
    })?;
    let info = page.info(total);
    let list = Answer {
        items,
        page: info.page,
        per_page: info.per_page,
        total_items: info.total_items,
        total_pages: info.total_pages,
    };
    match request_info.query.get("fields").filter(|fields| !fields.is_empty()) {
        None => answer::json(&list),
        Some(fields) => {
            let Ok(fields) = Fields::parse(fields) else { return Ok(answer::bytes_or_nothing(Vec::new())) };
            answer::json(&fields.apply_to_items(serde_json::to_value(list).map_err(ApiError::internal)?))
        }
    }
}

/// The rows of the page and their total number; none if the parameters name anything else than the keys.
fn statements(request: &RequestInfo, page: &Page) -> Option<(query::Statement, query::Count)> {
    let parameter = |name: &str| request.query.get(name).map_or("", String::as_str);
    let (filter, sort) = (parameter("filter"), parameter("sort"));
    let table = table();
    let schema = crate::schema::Schema::default();
    let mut select = Select::new(&schema, &table, request, Base::Stored);
    if !filter.is_empty() {
        if !names_only_keys(&*query::parse(filter).ok()?) {
            return None;
        }
        select.filter(filter).ok()?;
    }
    if !sort.is_empty() {
        let key = |part: &str| part.trim().trim_start_matches(['-', '+']).trim_end().to_owned();
        let allowed = |key: String| KEYS.contains(&key.as_str()) || ["@random", "@rowid"].contains(&key.as_str());
        if !sort.split(',').map(key).all(allowed) {
            return None;
        }
        select.sort(sort).ok()?;
    }
    let rows = select.rows(Some((page.per_page as u64, page.offset() as u64)));
    Some((rows, select.count()))
}

/// The table `_collections`, as if it were a collection of its own.
fn table() -> Arc<Collection> {
    let fields = KEYS.iter().map(|name| match *name {
        "system" => Field::new(name, FieldKind::Bool(Bool::default())),
        _ => Field::new(name, FieldKind::Text(Text::default())),
    });
    Arc::new(Collection::new("_collections", "_collections", CollectionKind::Base).with_fields(fields.collect()))
}

fn names_only_keys(filter: &Filter) -> bool {
    match filter {
        Filter::Compare(comparison) => [&comparison.left, &comparison.right].into_iter().all(is_allowed),
        Filter::All(members) | Filter::Any(members) => members.iter().all(names_only_keys),
    }
}

fn is_allowed(operand: &Operand) -> bool {
    match operand {
        Operand::Path(path) => {
            path.as_word().is_some_and(|word| KEYS.contains(&word) || ["null", "true", "false"].contains(&word))
        }
        Operand::GeoDistance(arguments) => arguments.iter().all(is_allowed),
        Operand::Strftime(call) => call.time.as_ref().is_none_or(is_allowed),
        Operand::Macro(_) | Operand::Number(_) | Operand::Text(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str, text: &str) -> RequestInfo {
        RequestInfo { query: [(name.to_owned(), text.to_owned())].into(), ..RequestInfo::default() }
    }

    #[test]
    fn only_the_six_keys_may_be_named() {
        let page = Page::of(&RequestInfo::default()).unwrap();
        for (name, text, allowed) in [
            ("filter", "name ~ 'a' && (system = true || created > @now)", true),
            ("filter", "viewQuery = 'a'", false),
            ("filter", "name = 'a' || @request.method = 'GET'", false),
            ("filter", "name:lower = 'a'", false),
            ("filter", "name =", false),
            ("sort", "-created, +name", true),
            ("sort", "@random", true),
            ("sort", "options", false),
            ("sort", "name,", false),
        ] {
            assert_eq!(statements(&request(name, text), &page).is_some(), allowed, "{text}");
        }
    }
}
