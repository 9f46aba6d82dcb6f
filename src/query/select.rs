//! One query over one collection, put together from rules, filters and a sort.

use std::sync::Arc;

use headwater_actors::Value;

use super::compare::Bind;
use super::joins::{Source, Typing, joined};
use super::path::Path;
use super::statement::{Count, Reads, Statement};
use super::to_sql::{Builder, Scope};
use super::tree::{Comparison, Filter};
use super::{Base, QueryError, parse, sort, sql};
use crate::request::RequestInfo;
use crate::schema::{Collection, Schema};

/// Bytes of a filter that a client may send. Stored rules may be longer.
const MAX_FILTER: usize = 3500;

/// A query over one collection, put together from rules, filters and a sort.
pub struct Select<'a> {
    pub schema: &'a Schema,
    pub collection: &'a Arc<Collection>,
    pub request: &'a RequestInfo,
    pub base: Base<'a>,
    builder: Builder<'a>,
    conditions: Vec<String>,
    order: Vec<String>,
}

impl<'a> Select<'a> {
    pub fn new(
        schema: &'a Schema,
        collection: &'a Arc<Collection>,
        request: &'a RequestInfo,
        base: Base<'a>,
    ) -> Select<'a> {
        let builder = Builder::new(schema, request);
        Select { schema, collection, request, base, builder, conditions: Vec::new(), order: Vec::new() }
    }

    /// Macros are taken at this moment, and not when the first one is met.
    #[cfg(test)]
    pub(crate) fn at(&mut self, now: chrono::DateTime<chrono::Utc>) -> &mut Self {
        self.builder.set_now(now);
        self
    }

    /// Adds a condition written by the owner: everything may be named in it.
    pub fn rule(&mut self, text: &str) -> Result<&mut Self, QueryError> {
        self.require(text, true)
    }

    /// Adds a condition written by the caller, who may name only what he may see (query-language.md §6). The empty text
    /// is no filter.
    pub fn filter(&mut self, text: &str) -> Result<&mut Self, QueryError> {
        if text.is_empty() {
            return Ok(self);
        }
        let trusted = self.trusts_caller();
        if !trusted {
            refuse_special_names(text)?;
        }
        if text.len() > MAX_FILTER {
            return Err(QueryError::Invalid(format!("a filter may be {MAX_FILTER} bytes long")));
        }
        self.require(text, trusted)
    }

    /// Sets the order, written by the caller. The empty text is no order.
    pub fn sort(&mut self, text: &str) -> Result<&mut Self, QueryError> {
        if text.is_empty() {
            return Ok(self);
        }
        let trusted = self.trusts_caller();
        if !trusted {
            refuse_special_names(text)?;
        }
        let scope = self.scope(trusted);
        self.order = sort::terms(&mut self.builder, &scope, text)?;
        self.conditions.extend(self.builder.list_rules()?);
        Ok(self)
    }

    /// Narrows to one record.
    pub fn only(&mut self, id: &str) -> &mut Self {
        let column = self.column("id");
        let id = self.builder.bind(Value::Text(id.to_owned()));
        self.conditions.push(format!("{column} = {id}"));
        self
    }

    /// Narrows to some records (bound as one JSON array, so that the SQL text stays the same for any number).
    pub fn only_any(&mut self, ids: &[String]) -> &mut Self {
        let column = self.column("id");
        let ids = self.list(ids);
        self.conditions.push(format!("{column} IN {ids}"));
        self
    }

    /// Narrows to records whose relation field `field` holds any of `ids` (back relations).
    pub fn referring(&mut self, field: &str, ids: &[String]) -> &mut Self {
        let column = self.column(field);
        let ids = self.list(ids);
        let is_list = self.collection.field(field).is_some_and(|(_, field)| field.is_multiple());
        self.conditions.push(match is_list {
            true => format!("EXISTS (SELECT 1 FROM {} WHERE value IN {ids})", sql::items(&column)),
            false => format!("{column} IN {ids}"),
        });
        self
    }

    /// The rows, all columns in field order; at most `limit` of them after `offset` where given.
    pub fn rows(&self, page: Option<(u64, u64)>) -> Statement {
        let mut params = self.builder.params.clone();
        let mut bind = |value: Value| {
            params.push(value);
            format!("?{}", params.len())
        };
        let repeats = self.builder.joins.multiply();
        let mut text = String::with_capacity(512);
        text.push_str(if repeats { "SELECT DISTINCT" } else { "SELECT" });
        for (index, field) in self.collection.fields.iter().enumerate() {
            text.push_str(if index > 0 { ", " } else { " " });
            match self.base {
                Base::Stored => text.push_str(&joined(0, &field.name)),
                Base::Candidate(record) | Base::Snapshot(record) => {
                    text.push_str(&bind(record.get(&field.name).cloned().unwrap_or(Value::Null)));
                }
            }
        }
        self.write_body(&mut text);
        if !self.order.is_empty() {
            text.push_str(" ORDER BY ");
            text.push_str(&self.order.join(", "));
        } else if repeats && matches!(self.base, Base::Stored) && !self.collection.is_view() {
            // To find repeated rows SQLite may walk any unique index; pages should come in the table's order as ever.
            text.push_str(" ORDER BY t._rowid_");
        }
        if let Some((limit, offset)) = page {
            let [limit, offset] = [limit, offset].map(|n| bind(Value::Integer(n.min(i64::MAX as u64) as i64)));
            text.push_str(&format!(" LIMIT {limit} OFFSET {offset}"));
        }
        Statement { sql: text, params }
    }

    /// How many distinct records there are.
    pub fn count(&self) -> Count {
        let key = if self.collection.is_view() { "\"id\"" } else { "_rowid_" };
        let statement = match (self.base, self.builder.joins.multiply()) {
            (Base::Stored, true) => self.finish(format!("SELECT count(DISTINCT t.{key})")),
            (Base::Stored, false) => self.finish("SELECT count(*)".to_owned()),
            _ => self.exists(),
        };
        Count { statement, reads: self.reads_in_any_order() }
    }

    /// What the rows and their order depend on.
    pub fn reads(&self) -> Reads {
        let mut reads = self.reads_in_any_order();
        reads.lasts &= !self.order.iter().any(|term| term.starts_with(sort::RANDOM));
        reads
    }

    fn reads_in_any_order(&self) -> Reads {
        let reads_others = self.collection.is_view() || self.builder.joins.reach_tables();
        let of = (!reads_others).then(|| self.collection.id.as_str().into());
        // Nobody knows what the query of a view depends on.
        let has_views = || self.schema.collections().iter().any(|collection| collection.is_view());
        let may_change = self.builder.asks_the_clock() || self.collection.is_view() || reads_others && has_views();
        Reads { of, lasts: !may_change }
    }

    /// Adds one comparison of a rule.
    pub(super) fn require_comparison(&mut self, comparison: &Comparison) -> Result<(), QueryError> {
        let scope = self.scope(true);
        let condition = self.builder.condition(&scope, &Filter::Compare(comparison.clone()))?;
        self.conditions.push(condition);
        Ok(())
    }

    /// The distinct values of a path, at most so many; as a rule reads them. `any`: one of several values is enough. None
    /// if the path has several and all would count.
    pub(super) fn values(&mut self, path: &Path, any: bool, limit: usize) -> Result<Option<Statement>, QueryError> {
        let scope = self.scope(true);
        let Some(value) = self.builder.value(&scope, path, any).map_err(QueryError::Invalid)? else { return Ok(None) };
        let mut statement = self.finish(format!("SELECT DISTINCT {value}"));
        statement.sql.push_str(&format!(" LIMIT {limit}"));
        Ok(Some(statement))
    }

    /// Whether there is any.
    pub fn exists(&self) -> Statement {
        let mut statement = self.finish("SELECT EXISTS (SELECT 1".to_owned());
        statement.sql.push(')');
        statement
    }

    fn finish(&self, mut text: String) -> Statement {
        self.write_body(&mut text);
        Statement { sql: text, params: self.builder.params.clone() }
    }

    /// FROM and WHERE.
    fn write_body(&self, text: &mut String) {
        let joins = &self.builder.joins;
        match self.base {
            Base::Stored => {
                text.push_str(" FROM ");
                text.push_str(&sql::quoted(&self.collection.name));
                text.push_str(" AS t");
            }
            // One row to join to; the record itself is in the parameters.
            _ if !joins.is_empty() => text.push_str(" FROM (SELECT 1) AS t"),
            _ => {}
        }
        joins.write(text);
        if !self.conditions.is_empty() {
            text.push_str(" WHERE ");
            text.push_str(&self.conditions.join(" AND "));
        }
    }

    fn require(&mut self, text: &str, trusted: bool) -> Result<&mut Self, QueryError> {
        let filter = parse(text)?;
        let scope = self.scope(trusted);
        let condition = self.builder.condition(&scope, &filter)?;
        self.conditions.push(condition);
        self.conditions.extend(self.builder.list_rules()?);
        Ok(self)
    }

    fn trusts_caller(&self) -> bool {
        self.request.caller.is_superuser()
    }

    fn source(&self) -> Source<'a> {
        match self.base {
            Base::Stored => Source::Table(0),
            Base::Candidate(record) => Source::Record(record, Typing::Bare),
            Base::Snapshot(record) => Source::Record(record, Typing::AsColumn),
        }
    }

    fn scope(&self, trusted: bool) -> Scope<'a> {
        self.builder.base(self.collection, self.source(), trusted)
    }

    fn column(&mut self, name: &str) -> String {
        self.builder.column(self.source(), self.collection, name)
    }

    fn list(&mut self, ids: &[String]) -> String {
        let list = serde_json::Value::from(ids).to_string();
        format!("(SELECT value FROM json_each({}))", self.builder.bind(Value::Text(list)))
    }
}

/// The text alone decides, even where the words stand within quotes.
fn refuse_special_names(text: &str) -> Result<(), QueryError> {
    if text.contains("@collection.") {
        return Err(QueryError::Forbidden("Only superusers can filter by @collection."));
    }
    if text.contains("@request.") {
        return Err(QueryError::Forbidden("Only superusers can filter by @request."));
    }
    Ok(())
}
