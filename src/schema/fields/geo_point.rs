//! A point on the globe.

use headwater_actors::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::errors::{Errors, Invalid};
use crate::json;
use crate::schema::field::{Field, FieldType};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GeoPoint {}

impl FieldType for GeoPoint {
    fn type_name(&self) -> &'static str {
        "geoPoint"
    }

    fn column(&self) -> &'static str {
        "JSON DEFAULT '{\"lon\":0,\"lat\":0}' NOT NULL"
    }

    fn zero(&self) -> Value {
        Value::Text(r#"{"lon":0,"lat":0}"#.into())
    }

    fn cast(&self, input: &Json) -> Value {
        let (lon, lat) = match input {
            Json::String(text) => from_text(text),
            other => coordinates(other),
        };
        let mut out = Vec::with_capacity(48);
        out.extend_from_slice(br#"{"lon":"#);
        json::write_number(lon, &mut out);
        out.extend_from_slice(br#","lat":"#);
        json::write_number(lat, &mut out);
        out.push(b'}');
        Value::Text(json::into_text(out))
    }

    fn to_json(&self, stored: &Value) -> Json {
        let (lon, lat) = read(stored);
        serde_json::json!({ "lon": json::number(lon), "lat": json::number(lat) })
    }

    fn is_blank(&self, stored: &Value) -> bool {
        read(stored) == (0.0, 0.0)
    }

    fn validate(&self, _field: &Field, stored: &Value) -> Result<(), Invalid> {
        let (lon, lat) = read(stored);
        if !(-90.0..=90.0).contains(&lat) {
            let message = "Latitude must be between -90 and 90 degrees.";
            return Err(Invalid::new("validation_invalid_latitude", message));
        }
        if !(-180.0..=180.0).contains(&lon) {
            let message = "Longitude must be between -180 and 180 degrees.";
            return Err(Invalid::new("validation_invalid_longitude", message));
        }
        Ok(())
    }

    fn check_options(&self, _field: &Field, _errors: &mut Errors) {}

    fn options_to_json(&self) -> serde_json::Map<String, Json> {
        super::options_to_json(self)
    }
}

/// The stored point, longitude first; older files have it in other notations.
pub(crate) fn read(stored: &Value) -> (f64, f64) {
    match stored {
        Value::Text(text) => from_text(text),
        _ => (0.0, 0.0),
    }
}

fn from_text(text: &str) -> (f64, f64) {
    serde_json::from_str(text).map(|point| coordinates(&point)).unwrap_or_default()
}

/// What is missing or no number counts as 0.
fn coordinates(point: &Json) -> (f64, f64) {
    let coordinate = |name| point.get(name).and_then(Json::as_f64).unwrap_or_default();
    (coordinate("lon"), coordinate("lat"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::fields::table;

    #[test]
    fn casts() {
        let zero = |sent: Json| (sent, json!(r#"{"lon":0,"lat":0}"#), json!({ "lon": 0, "lat": 0 }));
        table::casts(
            json!({ "type": "geoPoint" }),
            &[
                (json!({ "lat": 2.5, "lon": -1 }), json!(r#"{"lon":-1,"lat":2.5}"#), json!({ "lon": -1, "lat": 2.5 })),
                (json!(r#"{"lon":1,"lat":2}"#), json!(r#"{"lon":1,"lat":2}"#), json!({ "lon": 1, "lat": 2 })),
                (json!({ "lon": 1 }), json!(r#"{"lon":1,"lat":0}"#), json!({ "lon": 1, "lat": 0 })),
                (json!({ "lon": "1", "lat": 2 }), json!(r#"{"lon":0,"lat":2}"#), json!({ "lon": 0, "lat": 2 })),
                zero(json!([1, 2])),
                zero(json!("x")),
                zero(json!(5)),
                zero(Json::Null),
            ],
        );
        table::reads(
            json!({ "type": "geoPoint" }),
            &[
                (Value::Null, json!({ "lon": 0, "lat": 0 })),
                (Value::Text(r#"{ "lat": 1.0 }"#.into()), json!({ "lon": 0, "lat": 1 })),
                (Value::Text(String::new()), json!({ "lon": 0, "lat": 0 })),
            ],
        );
    }

    #[test]
    fn values() {
        table::values(
            json!({ "type": "geoPoint", "required": true }),
            &[
                (json!({ "lon": 180, "lat": -90 }), Json::Null),
                (json!({ "lon": 0, "lat": 0 }), json!({ "code": "validation_required" })),
                (json!({ "lon": 181, "lat": 91 }), json!({ "code": "validation_invalid_latitude" })),
                (json!({ "lon": -181, "lat": 0 }), json!({ "code": "validation_invalid_longitude" })),
            ],
        );
    }
}
