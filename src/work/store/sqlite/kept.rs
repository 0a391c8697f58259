//! Which events are kept: the newest ones, up to a number and up to a number of bytes.
//!
//! The transaction that adds new events removes the oldest. While there are too many, it removes twice as many bytes
//! as it adds, and some more. So the work of one commit stays in proportion to what is committed, and a login does
//! not wait because of what others have published before. A store that is over its limit when it is opened, as after
//! an update or with a lower limit, is trimmed before it is used.

use rusqlite::Connection;

use super::Keep;

/// Bytes that an event counts in addition to its name, its sender and its data.
const EVENT_BYTES: u64 = 64;
/// Bytes that one commit removes, in addition to twice what it adds.
const TRIMMED_BYTES: u64 = 256 * 1024;
/// Bytes that one transaction removes when a store is opened, which bounds the length of the log.
const TRIMMED_AT_OPEN_BYTES: u64 = 4 * 1024 * 1024;
/// A file is compacted when it is opened if more than so many of its bytes, and more than half of it, are unused.
const UNUSED_BYTES_MAX: i64 = 16 * 1024 * 1024;

/// The stored events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The id of the oldest event, or a smaller id.
    oldest: u64,
    pub(super) bytes: u64,
}

/// How many bytes an event counts as.
pub(super) fn bytes_of(name: &str, sender: &str, data: &str) -> u64 {
    (name.len() + sender.len() + data.len()) as u64 + EVENT_BYTES
}

/// How many bytes an event counts as, in SQL; the same as [`bytes_of`]. It reads only lengths, not the data: a long
/// value is not on the page of its row.
macro_rules! bytes_in_sql {
    () => {
        "octet_length(name) + octet_length(sender) + octet_length(data) + ?1"
    };
}
const SUM: &str = concat!(
    "SELECT coalesce(min(id), 0), coalesce(sum(",
    bytes_in_sql!(),
    "), 0) FROM events"
);
const OLDEST: &str = concat!("SELECT id, ", bytes_in_sql!(), " FROM events ORDER BY id");
const REMOVE: &str = "DELETE FROM events WHERE id <= ?1";

impl Kept {
    /// A store without events.
    pub(super) const NOTHING: Self = Self {
        oldest: 0,
        bytes: 0,
    };

    /// Reads the extent of the stored events.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(SUM, [EVENT_BYTES.cast_signed()], |row| {
            Ok(Self {
                oldest: row.get(0).map(i64::cast_unsigned)?,
                bytes: row.get(1).map(i64::cast_unsigned)?,
            })
        })
    }

    /// Whether the store has more than it may keep.
    fn is_too_much(&self, keep: Keep, last_event_id: u64) -> bool {
        self.bytes > keep.bytes || self.oldest <= last_event_id.saturating_sub(keep.events)
    }

    /// Called after events of `added` bytes were written, the last of them with this id: removes the oldest while
    /// there are too many.
    pub(super) fn trim(
        &mut self,
        connection: &Connection,
        keep: Keep,
        last_event_id: u64,
        added: u64,
    ) -> rusqlite::Result<()> {
        self.bytes += added;
        let budget = added.saturating_mul(2).saturating_add(TRIMMED_BYTES);
        self.remove(connection, keep, last_event_id, budget)
    }

    fn remove(
        &mut self,
        connection: &Connection,
        keep: Keep,
        last_event_id: u64,
        budget: u64,
    ) -> rusqlite::Result<()> {
        if !self.is_too_much(keep, last_event_id) {
            return Ok(());
        }
        let (mut left, mut through) = (*self, 0);
        let mut oldest = connection.prepare_cached(OLDEST)?;
        let mut rows = oldest.query([EVENT_BYTES.cast_signed()])?;
        while let Some(row) = rows.next()? {
            left.oldest = row.get(0).map(i64::cast_unsigned)?;
            let is_paid = self.bytes - left.bytes >= budget;
            if is_paid || !left.is_too_much(keep, last_event_id) {
                break;
            }
            let bytes = row.get(1).map(i64::cast_unsigned)?;
            left.bytes = left.bytes.saturating_sub(bytes);
            through = left.oldest;
            left.oldest += 1;
        }
        drop(rows);
        let mut remove = connection.prepare_cached(REMOVE)?;
        remove.execute([through.cast_signed()])?;
        *self = left;
        Ok(())
    }

    /// Removes everything over the limit, in steps.
    pub(super) fn trim_all(
        &mut self,
        connection: &Connection,
        keep: Keep,
        last_event_id: u64,
    ) -> rusqlite::Result<()> {
        while self.bytes > 0 && self.is_too_much(keep, last_event_id) {
            let transaction = connection.unchecked_transaction()?;
            self.remove(&transaction, keep, last_event_id, TRIMMED_AT_OPEN_BYTES)?;
            transaction.commit()?;
        }
        Ok(())
    }
}

/// Compacts a file that is mostly unused: removed events leave room for new ones, but do not shorten the file.
pub(super) fn shrink(connection: &Connection) -> rusqlite::Result<()> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (pages, unused) = (pragma("page_count")?, pragma("freelist_count")?);
    if unused > pages / 2 && unused.saturating_mul(pragma("page_size")?) > UNUSED_BYTES_MAX {
        connection.execute_batch("VACUUM")?;
        let left = pragma("page_count")?;
        log::info!("the store was {pages} pages long, and is {left}");
    }
    Ok(())
}
