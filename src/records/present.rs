//! Presents records to the caller of a request: what he may see of them, the relations he wants expanded and the fields
//! he picked, as the bytes of the answer.

use std::sync::Arc;

use rusqlite::Connection;
use serde_json::Value as Json;

use super::hooks::EnrichEvent;
use super::pick::Fields;
use super::{Expanded, Record, RecordError, expand, output, shows};
use crate::app::App;
use crate::request::RequestInfo;
use crate::schema::Schema;

/// How the caller wants records presented.
pub struct Presentation {
    /// Empty for none.
    expand: String,
    fields: Picked,
}

enum Picked {
    All,
    Some(Fields),
    /// The parameter makes no sense: the answer is empty.
    Nothing,
}

/// The figures of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageInfo {
    pub page: i64,
    pub per_page: i64,
    /// -1 where nobody counted.
    pub total_items: i64,
    pub total_pages: i64,
}

impl Presentation {
    /// As the `expand` and `fields` parameters say.
    pub fn of(request: &RequestInfo) -> Presentation {
        let fields = match request.query.get("fields").map(|text| Fields::parse(text)) {
            None => Picked::All,
            Some(Ok(fields)) if fields.is_empty() => Picked::All,
            Some(Ok(fields)) => Picked::Some(fields),
            Some(Err(_)) => Picked::Nothing,
        };
        Presentation { expand: request.query.get("expand").cloned().unwrap_or_default(), fields }
    }

    /// Decides what the caller sees and expands what he wants. The records are of one collection.
    pub fn prepare(
        &self,
        app: &App,
        conn: &Connection,
        schema: &Schema,
        records: &mut [Record],
        request: &Arc<RequestInfo>,
    ) -> Result<(), RecordError> {
        shows::decide(conn, schema, records, request)?;
        if !self.expand.is_empty() {
            expand::expand(conn, schema, records, &self.expand, request)?;
        }
        enrich(app, records, request)
    }

    /// True if nothing but the records themselves is shown.
    pub fn expands_nothing(&self) -> bool {
        self.expand.is_empty()
    }

    /// As [`Presentation::prepare`] if no database is needed for it; false if one is.
    pub fn prepare_at_once(
        &self,
        app: &App,
        records: &mut [Record],
        request: &Arc<RequestInfo>,
    ) -> Result<bool, RecordError> {
        if !self.expand.is_empty() || !shows::decide_without_database(records, request) {
            return Ok(false);
        }
        enrich(app, records, request).map(|()| true)
    }

    /// A prepared record as JSON.
    pub fn one(&self, record: &Record) -> Vec<u8> {
        match &self.fields {
            Picked::All => {
                let mut out = Vec::with_capacity(512);
                output::write_json(record, &mut out);
                out
            }
            Picked::Some(fields) => text(&fields.apply(output::to_json(record))),
            Picked::Nothing => Vec::new(),
        }
    }

    /// Prepared records as a page.
    pub fn page(&self, records: &[Record], info: PageInfo) -> Vec<u8> {
        let PageInfo { page, per_page, total_items, total_pages } = info;
        let mut out = Vec::with_capacity(128 + records.len() * 512);
        out.extend_from_slice(b"{\"items\":");
        match &self.fields {
            Picked::All => output::write_json_array(records, &mut out),
            Picked::Some(fields) => {
                let items = Json::Array(records.iter().map(output::to_json).collect());
                out.extend_from_slice(&text(&fields.apply(items)));
            }
            Picked::Nothing => return Vec::new(),
        }
        out.extend_from_slice(
            format!(
                ",\"page\":{page},\"perPage\":{per_page},\"totalItems\":{total_items},\"totalPages\":{total_pages}}}"
            )
            .as_bytes(),
        );
        out
    }
}

/// Presents one record that was just written.
pub async fn written(app: &App, record: Record, request: Arc<RequestInfo>) -> Result<Vec<u8>, RecordError> {
    let presentation = Presentation::of(&request);
    let mut records = [record];
    if presentation.prepare_at_once(app, &mut records, &request)? {
        return Ok(presentation.one(&records[0]));
    }
    let (job_app, schema) = (app.clone(), app.schema.current());
    app.readers
        .run(move |conn| {
            presentation.prepare(&job_app, conn, &schema, &mut records, &request)?;
            Ok(presentation.one(&records[0]))
        })
        .await?
}

/// Lets extensions change records that are about to be shown to the caller of a request, and those expanded in them.
pub(crate) fn enrich(app: &App, records: &mut [Record], request: &Arc<RequestInfo>) -> Result<(), RecordError> {
    let hook = &app.record_hooks.enrich;
    if hook.is_empty() {
        return Ok(());
    }
    for record in records {
        let mut event = EnrichEvent { app: app.clone(), record: record.clone(), request: request.clone() };
        hook.trigger(&mut event, |event| {
            let expanded = event.record.expand.iter_mut().flat_map(|expand| expand.values_mut());
            for expanded in expanded {
                match expanded {
                    Expanded::One(record) => enrich(app, std::slice::from_mut(record), request)?,
                    Expanded::Many(records) => enrich(app, records, request)?,
                }
            }
            Ok(())
        })?;
        *record = event.record;
    }
    Ok(())
}

fn text(json: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    crate::json::write(json, &mut out);
    out
}
