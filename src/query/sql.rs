//! Pieces of SQL text: quoted names, and JSON columns read the way that filters read them.
//!
//! JSON helpers accept any column: what is no valid JSON (older files, changed field types) counts as a plain text.

/// A name as SQL. Names are words already; quoting keeps keywords and surprises out.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table-valued function over the items of a list; a scalar is a list of one.
pub(super) fn items(column: &str) -> String {
    format!("json_each(CASE WHEN {} THEN {column} ELSE json_array({column}) END)", is_array(column))
}

/// The number of items; the empty text and NULL have none, another scalar is one.
pub(super) fn length(column: &str) -> String {
    format!(
        "CASE WHEN {} THEN json_array_length({column}) WHEN {column} = '' OR {column} IS NULL THEN 0 ELSE 1 END",
        is_array(column)
    )
}

/// The value at a path like `.a[0].b`; the whole value for an empty path. Scalars come as SQL values, lists and objects
/// as minified JSON.
pub(super) fn json_value(column: &str, path: &str) -> String {
    format!(
        "CASE WHEN json_valid({column}) THEN json_extract({column}, '${path}') \
         ELSE json_extract(json_object('v', {column}), '$.v{path}') END"
    )
}

fn is_array(column: &str) -> String {
    format!("iif(json_valid({column}), json_type({column}) = 'array', 0)")
}
