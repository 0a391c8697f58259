//! Makes files durable: on disk, and still there after a power cut.
//!
//! `File::sync_all` is fsync(2), and on Apple's systems `F_FULLFSYNC`, without which the drive may keep in its own
//! cache what it was told to write.

use std::fs::File;
use std::io;
use std::path::Path;

/// Returns when the written bytes of `file` are on disk, as far as the file system can tell.
///
/// # Errors
/// When it could not be written.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        // Not every file system has `F_FULLFSYNC`: SMB does not. SQLite does the same.
        Err(_) if cfg!(target_vendor = "apple") => Ok(rustix::fs::fsync(file)?),
        synced => synced,
    }
}

/// Returns when the name of `path` is on disk. Without this, a new name may not survive a power cut although its file
/// does. Not every file system can: then there is nothing to wait for.
///
/// # Errors
/// When the directory cannot be opened or written.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    unless_unable(sync(&File::open(directory)?))
}

fn unless_unable(synced: io::Result<()>) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, Unsupported};
    match synced {
        Err(error) if [InvalidInput, Unsupported].contains(&error.kind()) => Ok(()),
        synced => synced,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_cannot_sync_names_is_no_error_and_one_that_fails_is() {
        use rustix::io::Errno;
        let said = |errno: Errno| unless_unable(Err(errno.into()));
        assert!(said(Errno::INVAL).is_ok());
        assert!(said(Errno::NOTSUP).is_ok());
        assert!(said(Errno::IO).is_err());
        assert!(unless_unable(Ok(())).is_ok());
    }

    #[test]
    fn a_name_is_synced_with_and_without_a_directory_in_it() {
        let directory = tempfile::tempdir().unwrap();
        sync_name(&directory.path().join("file")).unwrap();
        sync_name(Path::new("file")).unwrap();
        assert!(sync_name(&directory.path().join("none").join("file")).is_err());
    }
}
