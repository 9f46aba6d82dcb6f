//! Sets the dates that belong to the server.

use headwater_actors::{Action, Value};

use super::Record;
use crate::dates;
use crate::schema::FieldKind;

/// Gives the autodates of an action the present time, which is the same for all of them. Called inside the job, so that
/// the order of dates is the order of commits.
pub(crate) fn touch(record: &mut Record, action: Action) {
    let mut now: Option<String> = None;
    for (field, value) in record.collection.fields.iter().zip(&mut record.values) {
        let FieldKind::Autodate(options) = &field.kind else { continue };
        let is_due = match action {
            Action::Create => options.on_create,
            Action::Update => options.on_update,
            Action::Delete => false,
        };
        if is_due {
            *value = Value::Text(now.get_or_insert_with(dates::now).clone());
        }
    }
}
