//! Reading records for the caller of a request: one, or a page of them (records.md §3, §4).
//!
//! Each read is one job on a reader thread, from the query to the bytes of the answer; that of one record by its id runs
//! where it is asked for.

use std::sync::Arc;
use std::time::Duration;

use headwater_actors::{Seq, change_log};
use rusqlite::Connection;

use super::hooks::{ListEvent, ViewEvent};
use super::membership::Membership;
use super::pages::PageKey;
use super::present::{PageInfo, Presentation};
use super::rules::{self, Gate};
use super::{Authority, Record, RecordError, request_hook};
use crate::app::App;
use crate::query::{Base, Select};
use crate::request::RequestInfo;
use crate::schema::{Collection, Rule};

/// How long a page that stands for a position may take: others wait for the hub that asks for it.
const POSITIONED: Duration = Duration::from_secs(2);

const DEFAULT_PER_PAGE: i64 = 30;
const MAX_PER_PAGE: i64 = 1000;

/// The record as JSON, if the view rule lets the caller see it.
pub async fn view(
    app: &App,
    collection: &Arc<Collection>,
    id: &str,
    request: RequestInfo,
) -> Result<Vec<u8>, RecordError> {
    let gate = Gate::of(&collection.rules.view, &request, Authority::Rules)?;
    let schema = app.schema.current();
    let gate = gate.settle(&app.predicates, &schema, collection, &request);
    let find = rules::find(&schema, collection, &request, gate, id)?;
    let presentation = Presentation::of(&request);
    let request = Arc::new(request);
    let is_quick = gate == Gate::Open && !collection.is_view() && presentation.expands_nothing();
    if is_quick && app.record_hooks.view.is_empty() {
        let read = app.readers.at_once(|conn| find.run(conn, collection, id));
        if let Some(record) = read {
            let mut records = [record?];
            if presentation.prepare_at_once(app, &mut records, &request)? {
                return Ok(presentation.one(&records[0]));
            }
        }
    }
    let (job_app, collection, id) = (app.clone(), collection.clone(), id.to_owned());
    if !app.record_hooks.view.is_empty() {
        let record = app.readers.run(move |conn| find.run(conn, &collection, &id)).await??;
        let event = ViewEvent { app: job_app, record, request };
        let presentation = Arc::new(presentation);
        let show = move |event: &ViewEvent| {
            let (app, schema, presentation) = (event.app.clone(), schema.clone(), presentation.clone());
            let (mut records, request) = ([event.record.clone()], event.request.clone());
            let readers = app.readers.clone();
            let job = move |conn: &Connection| {
                presentation.prepare(&app, conn, &schema, &mut records, &request)?;
                Ok(presentation.one(&records[0]))
            };
            async move { readers.run(job).await? }
        };
        return Ok(request_hook::surround_read(app, |hooks| &hooks.view, event, show).await?.unwrap_or_default());
    }
    app.readers
        .run(move |conn| {
            let mut records = [find.run(conn, &collection, &id)?];
            presentation.prepare(&job_app, conn, &schema, &mut records, &request)?;
            Ok(presentation.one(&records[0]))
        })
        .await?
}

/// A page of records.
#[derive(Default)]
pub struct List {
    pub json: Vec<u8>,
    /// The caller's filter was narrowed by a rule and found nothing: guessing at what the rule hides looks like this.
    pub is_empty_search: bool,
    /// The last change that the page knows of, and the ids of its records; nothing where nobody asked.
    pub(crate) at: Seq,
    pub(crate) ids: Vec<String>,
}

/// A page of the records that the list rule lets the caller see.
pub async fn list(app: &App, collection: &Arc<Collection>, request: RequestInfo) -> Result<List, RecordError> {
    let scope = Scope { rule: &collection.rules.list, only: None, skip_total: false };
    list_page(app, collection, scope, request, false).await
}

/// What is read of a collection, beside what the request asks for.
pub(crate) struct Scope<'a> {
    /// Who sees which records.
    pub rule: &'a Rule,
    /// No other record than this one.
    pub only: Option<&'a str>,
    /// How many there are in all is not counted, whatever the request says.
    pub skip_total: bool,
}

/// A page with what it stands for: everything up to a position, and nothing after it.
pub(crate) async fn list_at(
    app: &App,
    collection: &Arc<Collection>,
    scope: Scope<'_>,
    request: RequestInfo,
) -> Result<List, RecordError> {
    list_page(app, collection, scope, request, true).await
}

async fn list_page(
    app: &App,
    collection: &Arc<Collection>,
    scope: Scope<'_>,
    request: RequestInfo,
    positioned: bool,
) -> Result<List, RecordError> {
    let gate = Gate::of(scope.rule, &request, Authority::Rules)?;
    let asked = Page::of(&request)?;
    let era = app.totals.era();
    let schema = app.schema.current();

    let mut select = Select::new(&schema, collection, &request, Base::Stored);
    if let Some(id) = scope.only {
        select.only(id);
    }
    // What is of one moment asks of the caller, too, as he was then.
    let asked_of = if positioned { gate } else { gate.settle(&app.predicates, &schema, collection, &request) };
    if let Gate::When(rule) = asked_of {
        select.rule(rule)?;
    }
    let parameter = |name: &str| request.query.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let filter = parameter("filter");
    if let Some(filter) = filter {
        select.filter(filter)?;
    }
    if let Some(sort) = parameter("sort") {
        select.sort(sort)?;
    }
    let rows = select.rows(Some((asked.per_page as u64, asked.offset() as u64)));
    let count = (!asked.skip_total && !scope.skip_total).then(|| select.count());
    let is_search = filter.is_some() && gate != Gate::Open;
    let time = if positioned { POSITIONED.min(app.config.query_timeout) } else { app.config.query_timeout };

    let presentation = Presentation::of(&request);
    // What is shown is decided by the collection at hand, which must be the one of this era.
    let is_same_for_all = schema.has(collection)
        && !positioned
        && presentation.expands_nothing()
        && !collection.is_auth()
        && app.record_hooks.list.is_empty()
        && app.record_hooks.enrich.is_empty();
    let key = is_same_for_all.then(|| PageKey::of(&rows, select.reads(), asked, is_search, &request, era)).flatten();
    if let Some((json, is_empty_search)) = key.as_ref().and_then(|key| app.pages.get(key, &app.totals)) {
        return Ok(List { json, is_empty_search, ..List::default() });
    }
    let (job_app, collection, request) = (app.clone(), collection.clone(), Arc::new(request));
    let totals_app = app.clone();
    let rule = match asked_of {
        Gate::When(rule) if count.is_some() => Some(app.predicates.rule(&schema, &collection, rule)),
        _ => None,
    };
    let membership =
        Membership { schema: schema.clone(), collection: collection.clone(), rule, request: request.clone() };
    let fetch = move |conn: &Connection| -> Result<(Vec<Record>, PageInfo), RecordError> {
        let records = rows.records(conn, &membership.collection).map_err(not_listed)?;
        let total = match &count {
            None => -1,
            Some(count) => match asked.total_by_rows(records.len()) {
                Some(total) => total,
                // A total and a position must be of the same moment.
                None if positioned => count.run(conn).map_err(not_listed)? as i64,
                None => totals_app.totals.of(conn, count, &membership, era).map_err(not_listed)? as i64,
            },
        };
        Ok((records, asked.info(total)))
    };
    if !app.record_hooks.list.is_empty() {
        let read = app.readers.run_within(time, move |conn| fetch_at(conn, positioned, fetch));
        let (records, page, at) = read.await??;
        let event = ListEvent { app: job_app, collection, records, page, request };
        let presentation = Arc::new(presentation);
        let show = move |event: &ListEvent| {
            let (app, schema, presentation) = (event.app.clone(), schema.clone(), presentation.clone());
            let (mut records, page, request) = (event.records.clone(), event.page, event.request.clone());
            let readers = app.readers.clone();
            let job = move |conn: &Connection| {
                presentation.prepare(&app, conn, &schema, &mut records, &request)?;
                let json = presentation.page(&records, page);
                let ids = if positioned { ids(&records) } else { Vec::new() };
                Ok(List { json, is_empty_search: is_search && records.is_empty(), at, ids })
            };
            async move { readers.run(job).await? }
        };
        return Ok(request_hook::surround_read(app, |hooks| &hooks.list, event, show).await?.unwrap_or_default());
    }
    app.readers
        .run_within(time, move |conn| {
            let told = job_app.totals.last();
            let (mut records, page, at) = fetch_at(conn, positioned, fetch)?;
            presentation.prepare(&job_app, conn, &schema, &mut records, &request)?;
            let json = presentation.page(&records, page);
            let is_empty_search = is_search && records.is_empty();
            if let Some(key) = key {
                job_app.pages.keep(key, &json, is_empty_search, told);
            }
            let ids = if positioned { ids(&records) } else { Vec::new() };
            Ok(List { json, is_empty_search, at, ids })
        })
        .await?
}

/// Reads a page, and if asked the position at which it is read.
fn fetch_at(
    conn: &Connection,
    positioned: bool,
    fetch: impl FnOnce(&Connection) -> Result<(Vec<Record>, PageInfo), RecordError>,
) -> Result<(Vec<Record>, PageInfo, Seq), RecordError> {
    if !positioned {
        return fetch(conn).map(|(records, page)| (records, page, Seq::ZERO));
    }
    // One view of the database for both.
    let transaction = conn.unchecked_transaction()?;
    let at = change_log::last(conn)?;
    let (records, page) = fetch(conn)?;
    transaction.finish()?;
    Ok((records, page, at))
}

fn ids(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.id().to_owned()).collect()
}

/// A query that fails while it runs is the fault of who wrote it; a broken database is not.
fn not_listed(error: rusqlite::Error) -> RecordError {
    let is_of_the_query = error.sqlite_error().is_some_and(|e| e.extended_code == rusqlite::ffi::SQLITE_ERROR);
    if is_of_the_query {
        log::debug!("list: {error}");
        return RecordError::Parameters;
    }
    error.into()
}

/// Which page is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Page {
    pub page: i64,
    pub per_page: i64,
    pub skip_total: bool,
}

impl Page {
    pub fn of(request: &RequestInfo) -> Result<Page, RecordError> {
        let number = |name: &str, default: i64| match request.query.get(name).map(String::as_str) {
            None | Some("") => Ok(default),
            Some(text) => text.parse::<i64>().map_err(|_| RecordError::Parameters),
        };
        let page = number("page", 1)?.max(1);
        let per_page = match number("perPage", DEFAULT_PER_PAGE)? {
            ..=0 => DEFAULT_PER_PAGE,
            per_page => per_page.min(MAX_PER_PAGE),
        };
        let skip_total = match request.query.get("skipTotal").map(String::as_str) {
            None | Some("" | "0" | "f" | "F" | "false" | "FALSE" | "False") => false,
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some(_) => return Err(RecordError::Parameters),
        };
        Ok(Page { page, per_page, skip_total })
    }

    pub fn offset(self) -> i64 {
        (self.page - 1).saturating_mul(self.per_page)
    }

    /// A page that is not full is the last one: how many there are in all then needs no count.
    pub fn total_by_rows(self, rows: usize) -> Option<i64> {
        let rows = rows as i64;
        let is_last = rows < self.per_page && (rows > 0 || self.page == 1);
        is_last.then(|| self.offset() + rows)
    }

    pub fn info(self, total: i64) -> PageInfo {
        let total_pages = if total < 0 { -1 } else { total.saturating_add(self.per_page - 1) / self.per_page };
        PageInfo { page: self.page, per_page: self.per_page, total_items: total, total_pages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &[(&str, &str)]) -> Option<Page> {
        let query = query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Page::of(&RequestInfo { query, ..RequestInfo::default() }).ok()
    }

    #[test]
    fn limits_and_wrong_parameters() {
        let of = |page, per_page| Some(Page { page, per_page, skip_total: false });
        assert_eq!(page(&[]), of(1, 30));
        assert_eq!(page(&[("page", ""), ("perPage", "")]), of(1, 30));
        assert_eq!(page(&[("page", "0"), ("perPage", "-5")]), of(1, 30));
        assert_eq!(page(&[("page", "7"), ("perPage", "1001")]), of(7, 1000));
        assert_eq!(page(&[("page", "x")]), None);
        assert_eq!(page(&[("perPage", "1.5")]), None);
        assert_eq!(page(&[("skipTotal", "yes")]), None);
        assert_eq!(page(&[("skipTotal", "T")]).map(|page| page.skip_total), Some(true));
        assert_eq!(page(&[("page", "9223372036854775807")]).map(Page::offset), Some(i64::MAX));
    }

    #[test]
    fn a_page_that_is_not_full_tells_the_total() {
        let page = |page| Page { page, per_page: 10, skip_total: false };
        assert_eq!(page(1).total_by_rows(0), Some(0));
        assert_eq!(page(1).total_by_rows(10), None);
        assert_eq!(page(3).total_by_rows(4), Some(24));
        assert_eq!(page(3).total_by_rows(0), None);
        assert_eq!(page(1).info(21).total_pages, 3);
        assert_eq!(page(1).info(0).total_pages, 0);
        assert_eq!(page(1).info(-1).total_pages, -1);
    }
}
