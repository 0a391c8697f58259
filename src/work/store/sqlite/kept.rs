//! Which events are kept: the newest ones, so many, and so many bytes of them.
//!
//! The oldest go in the transaction that adds new ones. While there is too much, that removes twice as many bytes
//! as it adds, and some more: so the work of one commit stays in proportion to what is committed, and a login does
//! not wait for what others have published before. A store that has more than it may when it is opened, as after an
//! update or with a lower limit, is trimmed before it is used.

use rusqlite::Connection;

use super::Keep;

/// Bytes that an event counts beside its name, its sender and its data.
const EVENT_BYTES: u64 = 64;
/// Bytes that one commit removes, beside twice of what it adds.
const TRIMMED_BYTES: u64 = 256 * 1024;
/// Bytes that one transaction removes when a store is opened: the log is as long as that.
const TRIMMED_AT_OPEN_BYTES: u64 = 4 * 1024 * 1024;
/// A file is made anew when it is opened and so many bytes of it are unused, and half of it is.
const UNUSED_BYTES_MAX: i64 = 16 * 1024 * 1024;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// The id of the oldest event, if there is one, or of one before it.
    oldest: u64,
    pub(super) bytes: u64,
}

/// What an event counts.
pub(super) fn bytes_of(name: &str, sender: &str, data: &str) -> u64 {
    (name.len() + sender.len() + data.len()) as u64 + EVENT_BYTES
}

/// What an event counts, in SQL; as [`bytes_of`]. It reads lengths only, not the data: a long value is not on the page of
/// its row.
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

    /// What the store has.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row(SUM, [EVENT_BYTES.cast_signed()], |row| {
            Ok(Self {
                oldest: row.get(0).map(i64::cast_unsigned)?,
                bytes: row.get(1).map(i64::cast_unsigned)?,
            })
        })
    }

    /// Whether there is more than may be kept.
    fn is_too_much(&self, keep: Keep, last_event_id: u64) -> bool {
        self.bytes > keep.bytes || self.oldest <= last_event_id.saturating_sub(keep.events)
    }

    /// After events of `added` bytes were written, the last of them under this id: removes the oldest as far as
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

    /// Removes at once what is too much, in steps.
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

/// Makes a file anew that is mostly unused: what was removed leaves room for what comes, but no shorter file.
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
