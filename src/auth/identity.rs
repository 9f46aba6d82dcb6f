//! Who a token stands for.
//!
//! Runs on every request that carries a token. A known token of a known record costs two look-ups and a comparison; the
//! database is asked only for records that are not in the cache.

use std::sync::Arc;

use super::cache::{Place, VerifiedToken};
use super::tokens::{self, Claims, TokenKind};
use crate::app::App;
use crate::records::{Record, RecordError, save};

/// The record that a token stands for, if the token is of this type and good at this moment.
///
/// A token that is not good is no error: nobody in particular asks. A database that cannot be asked now is one, because
/// a caller must not be taken for a guest by accident.
pub async fn of_token(app: &App, token: &str, kind: TokenKind) -> Result<Option<Arc<Record>>, RecordError> {
    if let Some(known) = app.auth_cache.token(token) {
        let claims = &known.claims;
        if claims.kind != kind || !claims.current() {
            return Ok(None);
        }
        let record = record_at(app, &claims.collection_id, &claims.id, Some(&known.place)).await?;
        // The key may have changed to one that fits again only by a new signature check, below.
        match record {
            None => return Ok(None),
            Some(record) if known.fits(&record) => return Ok(Some(record)),
            Some(_) => {}
        }
    }
    let Some(claims) = Claims::unverified(token).filter(|claims| claims.kind == kind && claims.current()) else {
        return Ok(None);
    };
    let Some(record) = record_at(app, &claims.collection_id, &claims.id, None).await? else { return Ok(None) };
    let Some(key) = tokens::key(&record, kind).filter(|key| tokens::verify(token, key)) else { return Ok(None) };
    let place = Place::new(&record.collection.id, record.id());
    app.auth_cache.put_token(token, Arc::new(VerifiedToken { claims, place, key }));
    Ok(Some(record))
}

/// An auth record, from the cache or the Readers.
pub async fn record(app: &App, collection: &str, id: &str) -> Result<Option<Arc<Record>>, RecordError> {
    record_at(app, collection, id, None).await
}

async fn record_at(
    app: &App,
    collection: &str,
    id: &str,
    place: Option<&Place>,
) -> Result<Option<Arc<Record>>, RecordError> {
    let schema = app.schema.current();
    let Some(collection) = schema.find(collection).filter(|collection| collection.is_auth()).cloned() else {
        return Ok(None);
    };
    let known = place.filter(|place| place.is_in(&collection.id)).cloned();
    let place = known.unwrap_or_else(|| Place::new(&collection.id, id));
    if let Some(record) = app.auth_cache.get(&place, &collection) {
        return Ok(Some(record));
    }
    let mark = app.auth_cache.before_read(place);
    let id = id.to_owned();
    let read = app.readers.run(move |conn| save::load(conn, &collection, &id)).await??;
    let Some(record) = read.map(Arc::new) else { return Ok(None) };
    app.auth_cache.put(mark, record.clone());
    Ok(Some(record))
}
