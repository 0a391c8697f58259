//! Pages of the stored events.

use super::{Page, Query, Sqlite, StoreError, schema};
use crate::work::store::ROWS_READ_MAX;

impl Sqlite {
    /// Reads one page.
    pub(super) fn page(&self, query: &Query) -> Result<Page, StoreError> {
        let read = || -> rusqlite::Result<Page> {
            let since = i64::try_from(query.since).unwrap_or(i64::MAX);
            let oldest = self.oldest()?;
            let mut page = Page {
                events: Vec::new(),
                through: self.last_event_id,
                more: false,
                oldest,
            };
            let mut events = self.connection.prepare_cached(schema::EVENTS_SINCE)?;
            let (mut rows, mut bytes) = (events.query((since,))?, 0);
            let mut read = 0;
            while let Some(row) = rows.next()? {
                let id = row.get(0).map(i64::cast_unsigned)?;
                read += 1;
                let name = row.get_ref(2)?.as_str()?;
                if query.wanted.covers(name, row.get(4)?) {
                    bytes += row.get_ref(5)?.as_str()?.len();
                    page.events.push(schema::event_of(row)?);
                }
                let full = page.events.len() >= query.events_max || bytes >= query.bytes_max;
                if full || read >= ROWS_READ_MAX {
                    page.more = id < self.last_event_id;
                    page.through = id;
                    break;
                }
            }
            Ok(page)
        };
        read().map_err(|why| StoreError::from_sqlite(&self.path, &why))
    }

    /// The id of the oldest stored event; if there is none, the id that the next event will get.
    fn oldest(&self) -> rusqlite::Result<u64> {
        let mut oldest = self.connection.prepare_cached(schema::OLDEST_EVENT)?;
        let oldest: Option<i64> = oldest.query_row([], |row| row.get(0))?;
        Ok(oldest.map_or(self.last_event_id + 1, i64::cast_unsigned))
    }

    /// The same, for callers outside the engine.
    pub(in crate::work) fn oldest_event(&self) -> Result<u64, StoreError> {
        self.oldest()
            .map_err(|why| StoreError::from_sqlite(&self.path, &why))
    }
}
